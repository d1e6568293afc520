"""What a judge is shown of a head: prompts of the scoring half, and what its explanation is held against."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headtorch.core.analysis.halves import assert_disjoint, near_copies, prompt_text
from headtorch.core.analysis.score import is_scorable
from headtorch.core.explain.even_sampling import evenly_of_each
from headtorch.core.explain.protocol import Case
from headtorch.core.records import Explanation, HeadActivity, Judgement, Prompt

PER_CLASS = 40


def case_of(
    prompts: Sequence[Prompt],
    activity: HeadActivity,
    explanation: Explanation,
    *,
    texts: Sequence[Sequence[str]] | None = None,
    copies: Collection[int] | None = None,
    others: Sequence[Explanation] = (),
    random_texts: Sequence[Sequence[str]] = (),
    random_active: Sequence[bool] = (),
    per_class: int = PER_CLASS,
    control_n: int | None = None,
) -> Case:
    """One head's explanation and the prompts of the scoring half that it is judged on.

    prompts: those that `activity.active` labels, in its order
    texts: what the judge reads of each prompt, up to and including the firing token; the kept tokens where not given
    copies: scoring prompts to drop as near-copies of explaining ones; found by `near_copies` where not given
    others: explanations of other heads, judged on this head's prompts as a control
    random_texts, random_active: random places of the corpus, and whether the head is active there
    control_n: prompts of each class that the controls are judged on; all of them where not given

    At most `per_class` prompts of each class are used: of a firing set, whose strongest places come first, they lie
    evenly over each class; of max-activating examples they are the first in order, active ones from lower activation
    bins before the strongest, which would leave them no room. Raises AssertionError when the halves share a document
    or a cluster, ValueError where prompts, labels and explanation do not belong together.
    """
    _check(prompts, activity, explanation)
    dropped = near_copies(prompts) if copies is None else copies
    active = activity.active
    unseen = [i for i, prompt in enumerate(prompts) if prompt.half == "score" and i not in dropped]
    if activity.places == "firing":
        chosen = evenly_of_each(unseen, active, per_class)
        of_controls = set(chosen if control_n is None else evenly_of_each(chosen, active, control_n))
    else:
        chosen = _first_of_each(_hard_first(prompts, active, unseen), active, per_class)
        of_controls = set(_first_of_each(_hard_first(prompts, active, chosen), active, control_n))
    return Case(
        explanation=explanation,
        prompts=chosen,
        texts=[prompt_text(prompts[i]) if texts is None else texts[i] for i in chosen],
        controls=[place for place, i in enumerate(chosen) if i in of_controls],
        others=others,
        random_texts=random_texts,
        random_active=random_active,
        dropped=sum(prompts[i].half == "score" for i in dropped),
    )


def can_be_judged(case: Case, activity: HeadActivity) -> bool:
    """Whether there is anything to ask a judge: with prompts of one class only, the head is not scorable."""
    return is_scorable([activity.active[i] for i in case.prompts])


def unjudged(case: Case, judge: str) -> Judgement:
    """The judgement of a head that is not scorable: nobody was asked."""
    said = case.explanation
    return Judgement(
        neuron=said.neuron,
        head=said.head,
        explainer=said.explainer,
        judge=judge,
        prompts=list(case.prompts),
        verdicts=[],
        dropped=case.dropped,
    )


def _check(prompts: Sequence[Prompt], activity: HeadActivity, explanation: Explanation) -> None:
    if len(prompts) != len(activity.active):
        raise ValueError(f"{len(prompts)} prompts but {len(activity.active)} labels.")
    if (activity.neuron, activity.head) != (explanation.neuron, explanation.head):
        raise ValueError(
            f"The explanation is of {explanation.head} for {explanation.neuron}, "
            f"the labels are of {activity.head} for {activity.neuron}."
        )
    assert_disjoint(prompts)


def _hard_first(prompts: Sequence[Prompt], active: Sequence[bool], indices: Sequence[int]) -> list[int]:
    """Weak firing where the head is active, and strong firing where it is not, before what the activation gives away.

    Without prompts from lower activation bins the order of either class stays as it is.
    """
    return sorted(indices, key=lambda i: (prompts[i].bin is None) == active[i])


def _first_of_each(indices: Sequence[int], active: Sequence[bool], per_class: int | None) -> list[int]:
    of_active = [i for i in indices if active[i]][:per_class]
    of_inactive = [i for i in indices if not active[i]][:per_class]
    return sorted(of_active + of_inactive)
