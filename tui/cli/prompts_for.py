"""headtorch prompts-for: what a language model would be asked about a head, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import AddressError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.explain.llm.questions import Question
    from headtorch.core.explain.protocol import Case, ExplainTask
    from headtorch.core.records import Explanation, HeadActivity, HeadId, NeuronId, PlannedCalls
    from headtorch.core.settings import LlmSettings, Price, Settings
    from headtorch.core.study.state import StudyState

STAND_IN = " ".join(["something"] * 40)  # words in the place of a claim that is not made yet
RANDOM_TOKENS = 32


def prompts_for(
    study: Annotated[str, typer.Argument(help="Name or folder of a study.")],
    neuron: Annotated[str, typer.Argument(help="The neuron, as L3.N412.")],
    head: Annotated[str, typer.Argument(help="The head, as L2.H4.")],
    judge: Annotated[bool, typer.Option("--judge", help="The judge's first prompt, not the explainer's.")] = False,
    explainer_model: Annotated[
        str | None, typer.Option("--explainer-model", help="In place of the model that the study names.")
    ] = None,
    hide_target: Annotated[bool, typer.Option("--hide-target", help="As if the token were kept hidden.")] = False,
    json: options.Json = False,
) -> None:
    """Show the words that a language model would be sent about a head, and at most how many calls there would be.

    Nothing is sent, and no model is loaded. So the tokens that the head looked up, which a run marks in the texts, are
    not marked here; and a run leaves out texts that are near-copies of others, and asks for no answer that it has kept.

    \b
    Examples:
      headtorch prompts-for comparisons L3.N892 L2.H7
      headtorch prompts-for comparisons L3.N892 L2.H7 --judge
    """
    from headtorch.core.explain.llm.asking import Nobody
    from headtorch.core.explain.llm.explainer import LlmExplainer
    from headtorch.core.explain.llm.judge import LlmJudge
    from headtorch.core.records import HeadId, NeuronId
    from headtorch.core.study.study import Study
    from headtorch.tui.cli.output import print_json

    address, of_head = NeuronId.parse(neuron), HeadId.parse(head)
    opened = Study.open(study)
    activity = _activity(opened.state, address, of_head)
    llm, prices = _settings(opened.settings, explainer_model, hide_target)
    task = _task(opened.state, opened.settings, activity)
    case = _case(opened.state, opened.settings, llm, activity)
    explaining = LlmExplainer(llm, Nobody()).questions([task])
    judging = LlmJudge(llm, Nobody()).questions([case]) if case is not None else []
    plans = [("explainer", _planned(explaining, prices)), ("judge", _planned(judging, prices))]
    shown = judging[:1] if judge else explaining
    if json:
        print_json(
            {
                "study": opened.name,
                "neuron": address,
                "head": of_head,
                "prompts": llm.prompts,
                "messages": [message for question in shown for message in question.messages],
                "calls": {role: plan for role, plan in plans if plan is not None},
            }
        )
        return
    _print(shown, plans, named=bool(llm.model))


def _activity(state: StudyState, neuron: NeuronId, head: HeadId) -> HeadActivity:
    """When the head is active; raises AddressError where the study does not say."""
    found = state.activity.get(neuron)
    if found is None:
        raise AddressError(f"The study has not found out when heads are active for {neuron}; look at it there first.")
    heads = {one.head: one for one in found.heads}
    if head not in heads:
        worth = ", ".join(map(str, heads)) or "none"
        raise AddressError(f"{head} is not among the heads of {neuron} that are worth explaining: {worth}.")
    return heads[head]


def _settings(settings: Settings, model: str | None, hide_target: bool) -> tuple[LlmSettings, dict[str, Price]]:
    """What the study names, else what the user's settings do; without a model in either, an unnamed one."""
    import msgspec

    from headtorch.core.settings import LlmSettings
    from headtorch.tui.explainer_settings import llm_settings
    from headtorch.tui.settings import load_settings

    mine, access = llm_settings(load_settings(), model=model)
    llm = settings.llm or mine or LlmSettings(model="")
    hidden = hide_target or llm.hide_target
    return msgspec.structs.replace(llm, model=model or llm.model, hide_target=hidden), access.prices


def _task(state: StudyState, settings: Settings, activity: HeadActivity) -> ExplainTask:
    from headtorch.core.explain.protocol import ExplainTask, explaining_examples
    from headtorch.core.study.effect_shares import effect_shares

    row = state.neurons.get(activity.neuron) or state.visited[activity.neuron]
    examples = explaining_examples(
        state.labelled_prompts(activity),
        activity,
        limit=settings.explain_n if activity.places == "firing" else None,
        effects=effect_shares(state, activity),
    )
    return ExplainTask(neuron=activity.neuron, head=activity.head, examples=examples, target=row.token)


def _case(state: StudyState, settings: Settings, llm: LlmSettings, activity: HeadActivity) -> Case | None:
    """What the judge would see, with words in the place of what is not known yet; None for a head not scorable."""
    from headtorch.core.explain.cases import can_be_judged, case_of

    said = _said(state, llm, activity)
    random_n = 0 if activity.places == "firing" else llm.random_n  # heads are not labelled on random places then
    stand_ins = [(f"{number}", *[" something"] * (RANDOM_TOKENS - 1)) for number in range(random_n)]
    case = case_of(
        state.labelled_prompts(activity),
        activity,
        said,
        copies=(),  # their surroundings are not at hand: so many texts are judged at most
        others=[_stand_in(activity, "Another head's claim: ")],
        random_texts=stand_ins,
        random_active=[False] * len(stand_ins),
        per_class=settings.score_n,
        control_n=llm.control_n,
    )
    return case if can_be_judged(case, activity) else None


def _said(state: StudyState, llm: LlmSettings, activity: HeadActivity) -> Explanation:
    """The model's own explanation, else the newest of anybody, else words in its place."""
    of_head = [one for one in state.explanations_of(activity.neuron) if one.head == activity.head]
    own = [one for one in of_head if one.explainer == f"llm:{llm.model}"]
    return (own or of_head or [_stand_in(activity, "The explainer's claim: ")])[-1]


def _stand_in(activity: HeadActivity, begin: str) -> Explanation:
    from headtorch.core.records import Explanation

    return Explanation(neuron=activity.neuron, head=activity.head, explainer="llm", text=begin + STAND_IN)


def _planned(questions: list[Question], prices: dict[str, Price]) -> PlannedCalls | None:
    """All calls to the one model, as if no answer were kept; None without any."""
    from headtorch.core.explain.llm.ledger import Ledger

    plans = Ledger(prices=prices).estimate(questions, lambda question: None)
    return plans[0] if plans else None


def _print(questions: list[Question], plans: list[tuple[str, PlannedCalls | None]], *, named: bool) -> None:
    from headtorch.tui.cli.output import print_note, print_text

    for question in questions:
        for message in question.messages:
            print_text(f"--- {message.role} ---")
            for line in message.content.split("\n"):
                print_text(line)
            print_text()
    for role, plan in plans:
        print_note(f"The {role} {_in_words(plan, named)}.")
    print_note("Nothing was sent. The tokens that the head looked up are marked only where the model is at hand.")


def _in_words(plan: PlannedCalls | None, named: bool) -> str:
    from headtorch.core.explain.llm.ledger import dollars

    if plan is None:
        return "would not be asked: the scoring half has prompts of one class only"
    model = f" ({plan.model} at {plan.base_url})" if named else ""
    price = "price unknown" if plan.cost is None else f"up to {dollars(plan.cost)}"
    calls = "1 call" if plan.calls == 1 else f"{plan.calls} calls"
    return (
        f"would be asked in at most {calls}{model}: about {plan.prompt_tokens:,} tokens to it, "
        f"at most {plan.completion_tokens:,} back, {price}"
    )
