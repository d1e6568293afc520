"""The last stages of a study: explain heads, score the explanations, ablate the heads, compare with random neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from headtorch.core.analysis.ablation import ablate_heads, ablation_record
from headtorch.core.analysis.activity import active_heads
from headtorch.core.analysis.attribution import Attribution, attribute_all
from headtorch.core.analysis.halves import near_copies
from headtorch.core.analysis.interventions import Means, mean_head_outputs
from headtorch.core.analysis.lookup import sources
from headtorch.core.analysis.score import LabelledText, score_explanation, with_adjusted_p
from headtorch.core.analysis.score_summary import GroupScores, compare_groups
from headtorch.core.engine.stages import baseline_arrays, headline, prompt_rows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import ExplanationError
from headtorch.core.events import (
    AdjustedP,
    AnyEvent,
    BaselineCompared,
    HeadAblated,
    HeadActivityFound,
    HeadExplained,
    HeadScored,
    ScoreGroup,
    ScoresAdjusted,
    Warned,
)
from headtorch.core.explain.judge import RuleJudge
from headtorch.core.explain.me import MeExplainer
from headtorch.core.explain.protocol import Explainer, explaining_examples
from headtorch.core.explain.rules import RulesExplainer
from headtorch.core.records import HeadActivity, HeadId, NeuronId, NextTokenNeuron, Prompt, Score
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study

OTHERS = 3  # explanations of other heads judged as a control
RANDOM_PLACES = 100  # for the precision on random text
RANDOM_TOKENS = 32  # of each random place that the judge sees
SURROUNDINGS = 50  # tokens to either side in which copies are looked for
ABLATED_HEADS = 3  # of each neuron, those explained best
ABLATED_PROMPTS = 20  # of each class


def explain(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """A rule for every head that is active on some prompts and not on others, from the explaining half."""
    state = study.state
    explainer = explainer_of(study.settings)
    for neuron, found in state.own(state.activity).items():
        prompts = [*state.prompts[neuron], *found.lower]
        looked_up = _looked_up(study, workspace, prompts, [activity.head for activity in found.heads])
        for activity in found.heads:
            workspace.watch.checkpoint()
            examples = explaining_examples(
                state.labelled_prompts(activity), activity, looked_up=looked_up[activity.head]
            )
            yield HeadExplained(
                explanation=explainer.explain(neuron, activity.head, examples, target=state.neurons[neuron].token)
            )


def explainer_of(settings: Settings) -> Explainer:
    """The explainer that the settings name.

    Raises ExplanationError where what it says could not be used or judged, so that this is known before any work.
    """
    if settings.explainer == "llm":
        raise ExplanationError("A study explains with rules or with a pattern of yours: --explainer rules or me.")
    if (settings.explainer == "me") != (settings.explanation is not None):
        raise ExplanationError("--explainer me and --explanation go together: give both or neither.")
    if settings.explanation is None:
        return RulesExplainer()
    mine = MeExplainer(settings.explanation)
    RuleJudge()(mine.explain(NeuronId(0, 0), HeadId(0, 0), []), [])
    return mine


def _looked_up(
    study: Study, workspace: Workspace, prompts: Sequence[Prompt], heads: Sequence[HeadId]
) -> dict[HeadId, list[tuple[int, float] | None]]:
    """For each head and prompt the kept token that gave most of the head's attribution, and its share of it."""
    found: dict[HeadId, list[tuple[int, float] | None]] = {head: [None] * len(prompts) for head in heads}
    explaining = [i for i, prompt in enumerate(prompts) if prompt.half == "explain"]
    if not heads or not explaining:
        return found
    rows = prompt_rows(study, workspace, [prompts[i] for i in explaining])
    given = sources(workspace.model, rows, [prompts[i].neuron for i in explaining], heads, watch=workspace.watch)
    reads = np.abs(given).sum(1)  # prompt head position
    for i, row, weights in zip(explaining, rows, reads, strict=True):
        kept = prompts[i].position - prompts[i].start + 1
        for head, weight in zip(heads, weights, strict=True):
            total = float(weight.sum())
            inside = weight[len(row) - kept : len(row)]
            if total > 0 and len(inside):
                best = int(inside.argmax())
                found[head][i] = (best, float(inside[best]) / total)
    return found


def score(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """E of every explanation on the scoring half; then q over all of them, and next-token against random neurons."""
    state, settings = study.state, study.settings
    judge = RuleJudge()
    explained = [neuron for neuron, found in state.own(state.activity).items() if found.heads]
    rows = workspace.rows_at(workspace.index.random_positions("score"))[:RANDOM_PLACES]
    on_random_rows = attribute_all(workspace.model, rows, explained, watch=workspace.watch)
    for neuron, attribution in zip(explained, on_random_rows, strict=True):
        found = state.activity[neuron]
        workspace.watch.checkpoint()
        prompts = [*state.prompts[neuron], *found.lower]
        around = [_surroundings(workspace, prompt) for prompt in prompts]
        labelled = {len(activity.active) for activity in found.heads}  # with or without the prompts from lower bins
        copies = {n: near_copies(prompts[:n], around[:n]) for n in labelled}
        random_text = _random_text(study, workspace, rows, attribution, found)
        said = {
            activity.head: state.explanations[neuron, activity.head, settings.explainer] for activity in found.heads
        }
        for activity in found.heads:
            yield HeadScored(
                score=score_explanation(
                    state.labelled_prompts(activity),
                    activity,
                    said[activity.head],
                    judge,
                    copies=copies[len(activity.active)],
                    others=[other for head, other in said.items() if head != activity.head][:OTHERS],
                    random_text=random_text[activity.head],
                    per_class=settings.score_n,
                    seed=settings.seed,
                )
            )
    yield from _compare(study)


def _surroundings(workspace: Workspace, prompt: Prompt) -> list[int]:
    ids = workspace.corpus.document_ids(prompt.document)
    return [int(t) for t in ids[max(0, prompt.position - SURROUNDINGS) : prompt.position + SURROUNDINGS + 1]]


def _random_text(
    study: Study,
    workspace: Workspace,
    rows: Sequence[Sequence[int]],
    attribution: Attribution,
    found: HeadActivityFound,
) -> dict[HeadId, list[LabelledText]]:
    """Random places of the corpus, labelled by whether each head is active for the neuron there."""
    judged_by = headline(study, attribution).astype(np.float64)
    mean, sd = baseline_arrays(study, workspace, found.neuron)
    first = workspace.model.facts.first_token is not None
    texts = [tuple(workspace.model.token_texts(row[first:][-RANDOM_TOKENS:])) for row in rows]
    labelled = {}
    for activity in found.heads:
        active = active_heads(
            judged_by,
            mean,
            sd,
            rule=study.settings.activity,
            sign=study.state.neurons[found.neuron].sign,
            suppressing=activity.suppressing,
        )[:, activity.head.layer, activity.head.index]
        labelled[activity.head] = [LabelledText(text, bool(label)) for text, label in zip(texts, active, strict=True)]
    return labelled


def _compare(study: Study) -> Iterator[AnyEvent]:
    state, explainer = study.state, study.settings.explainer
    # Fixed beforehand: what somebody explained beside it is no part of the family.
    family = {(neuron, one.head) for neuron, found in state.own(state.activity).items() for one in found.heads}
    scores = [one for one in state.scores.values() if one.explainer == explainer and (one.neuron, one.head) in family]
    adjusted = with_adjusted_p(scores)
    yield ScoresAdjusted(
        method="Benjamini-Yekutieli",
        tests=sum(one.p is not None for one in scores),
        adjusted=[
            AdjustedP(neuron=one.neuron, head=one.head, explainer=one.explainer, q=one.q)
            for one in adjusted
            if one.q is not None
        ],
    )
    random = {neuron for neuron, row in state.neurons.items() if row.random}
    alike = [one for one in scores if not one.lower]  # a contrast with weaker firing is another, easier question
    of_random = [one for one in alike if one.neuron in random]
    of_found = [one for one in alike if one.neuron not in random]
    comparison = compare_groups(of_found, of_random, seed=study.settings.seed)
    yield BaselineCompared(
        explainer=explainer,
        next_token=_group(comparison.next_token, of_found),
        random=_group(comparison.random, of_random),
        difference=comparison.difference,
        interval=comparison.interval,
    )


def _group(group: GroupScores, scores: Sequence[Score]) -> ScoreGroup:
    known = [one.e for one in scores if one.e is not None]
    return ScoreGroup(
        mean=group.mean,
        median=float(np.median(known)) if known else None,
        interval=group.interval,
        heads=group.n_heads,
        neurons=group.n_neurons,
    )


def ablate(study: Study, workspace: Workspace) -> Iterator[AnyEvent]:
    """The best explained heads of each next-token neuron, replaced by their mean at the firing position."""
    state = study.state
    found = [row for neuron, row in state.neurons.items() if not row.random and _best_heads(study, neuron)]
    if not found:
        yield Warned(text="No head could be scored, so none was ablated.")
        return
    means = mean_head_outputs(workspace.model, workspace.random_rows, watch=workspace.watch)
    for done, row in enumerate(found):
        workspace.watch.progress("ablate", done, len(found), "neurons")
        best = _best_heads(study, row.neuron)
        for heads in ([one for one in best if not one.lower], [one for one in best if one.lower]):
            if heads:
                yield from _ablated(study, workspace, row, heads, means)


def _ablated(
    study: Study, workspace: Workspace, row: NextTokenNeuron, heads: Sequence[HeadActivity], means: Means
) -> Iterator[AnyEvent]:
    """Heads of one neuron that have the same prompts, on some prompts of either class of each."""
    prompts = study.state.labelled_prompts(heads[0])
    chosen = sorted({i for one in heads for i in _of_each(one.active, ABLATED_PROMPTS)})
    changes = ablate_heads(
        workspace.model,
        [workspace.row(prompts[i].document, prompts[i].position) for i in chosen],
        row.neuron,
        row.token_id,
        [one.head for one in heads],
        replacement="mean",
        means=means,
    )
    for one, change in zip(heads, changes, strict=True):
        active = [one.active[i] for i in chosen]
        ablation = ablation_record(row.neuron, one.head, row.token_id, change, active, replacement="mean")
        lower = sum(prompts[i].bin is not None for i in chosen)
        yield HeadAblated(ablation=msgspec.structs.replace(ablation, lower=lower))


def _best_heads(study: Study, neuron: NeuronId) -> list[HeadActivity]:
    """The activity of the neuron's heads with the highest E, best first."""
    found = study.state.activity.get(neuron)
    activity = {one.head: one for one in found.heads} if found is not None else {}
    explainer = study.settings.explainer
    scores = [
        one
        for one in study.state.scores_of(neuron)
        if one.explainer == explainer and one.e is not None and one.head in activity
    ]
    heads = [one.head for one in sorted(scores, key=lambda one: (-(one.e or 0.0), one.head))[:ABLATED_HEADS]]
    return [activity[head] for head in heads]


def _of_each(active: Sequence[bool], count: int) -> list[int]:
    of_active = [i for i, label in enumerate(active) if label][:count]
    return of_active + [i for i, label in enumerate(active) if not label][:count]
