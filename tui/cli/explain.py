"""headtorch explain: another explainer on the heads of a study that has been run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from headtorch.core.errors import InputError
from headtorch.tui.cli import options

if TYPE_CHECKING:
    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.events import AnyEvent
    from headtorch.core.records import HeadActivity
    from headtorch.core.settings import Settings
    from headtorch.core.study.state import StudyState
    from headtorch.core.study.study import Study


def explain(
    study: Annotated[str, typer.Argument(help="Name or folder of a study.")],
    neuron: Annotated[str | None, typer.Argument(help="One neuron of it, as L3.N412; by default all.")] = None,
    head: Annotated[str | None, typer.Argument(help="One head, as L2.H4; by default all worth explaining.")] = None,
    explainer: options.Explainer = "rules",
    explanation: options.Explanation = None,
    explainer_model: options.ExplainerModel = None,
    judge_model: options.JudgeModel = None,
    base_url: options.BaseUrl = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    device: options.Device = "auto",
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Explain the heads of a study by another explainer, score what it says, and keep both beside what is there.

    What it says is tested as claims of the study, where the study tests claims: the effect contrast on unseen text,
    and rewriting by the terms of a rule. What the explainer has said before is not asked again. For all heads
    together, p values are adjusted and random neurons compared; for one neuron or head they are not.

    \b
    Examples:
      headtorch explain comparisons --explainer llm --explainer-model qwen3 --base-url http://localhost:8000/v1
      headtorch explain comparisons L3.N892 L2.H7 --explainer me --explanation 're: United$'
    """
    import msgspec

    from headtorch.core.engine.workspace import Workspace
    from headtorch.core.study.study import Study
    from headtorch.tui.cli.asking import Outcome, language_models, models_for
    from headtorch.tui.cli.output import print_json
    from headtorch.tui.cli.progress import progress_bars
    from headtorch.tui.cli.run import print_calls

    llm, access = models_for(
        explainer,
        explanation,
        model=explainer_model,
        judge_model=judge_model,
        base_url=base_url,
        max_calls=max_calls,
        max_cost=max_cost,
    )
    with ExitStack() as stack:
        opened = stack.enter_context(Study.open(study, write=True))
        settings = msgspec.structs.replace(opened.settings, explainer=explainer, explanation=explanation, llm=llm)
        heads = _heads(opened, neuron, head)
        watch = stack.enter_context(progress_bars())
        workspace = Workspace(opened.settings, device=device, watch=watch)
        workspace.llm = language_models(access, watch, yes=yes, silent=json)
        outcome = Outcome()
        for event in _events(opened, workspace, settings, None if neuron is None else heads):
            outcome.hear(event)
    rows = _rows(opened.state, settings, heads)
    made = None if llm is None else workspace.llm.ledger.by_model()
    if json:
        calls = list(opened.state.calls.values())
        print_json({"study": str(opened.folder), "heads": rows, "asked": made or [], "calls": calls})
    else:
        _print(rows)
        print_calls(made, opened.state, settings.explainer_name, heads)
    outcome.check()


def _heads(study: Study, neuron: str | None, head: str | None) -> list[HeadActivity]:
    """The heads asked for; raises InputError for a study, a neuron or a head with nothing to explain."""
    from headtorch.core.records import HeadId, NeuronId
    from headtorch.core.study.stages import has_claim_stages

    if not study.state.is_done("heads" if has_claim_stages(study.state) else "contrast"):
        raise InputError(f"The study {study.name} has not come to its heads yet; finish it with headtorch run.")
    found = study.state.explainable()
    if neuron is not None:
        address = NeuronId.parse(neuron)
        found = [one for one in found if one.neuron == address]
        if not found:
            raise InputError(f"{address} has no heads worth explaining in the study {study.name}.")
    if head is not None:
        wanted = HeadId.parse(head)
        there = ", ".join(str(one.head) for one in found)
        found = [one for one in found if one.head == wanted]
        if not found:
            raise InputError(
                f"{wanted} is not worth explaining for {neuron}: it is not active on some of its prompts "
                f"and inactive on others. Those that are: {there}."
            )
    return found


def _events(
    study: Study, workspace: Workspace, settings: Settings, heads: list[HeadActivity] | None
) -> Iterator[AnyEvent]:
    from headtorch.core.engine.pipeline import check, explain_study
    from headtorch.core.engine.stages import open_corpus, open_model

    check(settings, workspace)
    for opening in (open_model(study, workspace), open_corpus(study, workspace)):
        for event in opening:
            study.append(event)
            yield event
    yield from explain_study(study, workspace, settings, heads)


def _rows(state: StudyState, settings: Settings, heads: list[HeadActivity]) -> list[dict[str, object]]:
    name = settings.explainer_name
    rows = []
    for one in heads:
        key = (one.neuron, one.head, name)
        said, score, lost = state.explanations.get(key), state.scores.get(key), state.unanswered.get(key)
        claim = state.head_claims.get(key)
        rows.append(
            {
                "neuron": one.neuron,
                "head": one.head,
                "explainer": name,
                "explanation": said.text if said else None,
                "e": score.e if score else None,
                "interval": score.interval if score else None,
                "n_active": score.n_active if score else None,
                "n_inactive": score.n_inactive if score else None,
                "auroc": score.auroc if score else None,
                "q": score.q if score else None,
                "contrast": claim.contrast if claim else None,
                "unusable": score.unusable if score else None,
                "unanswered": lost.reason if lost else None,
            }
        )
    return rows


def _print(rows: list[dict[str, object]]) -> None:
    from headtorch.core.claims import Estimate
    from headtorch.core.format import points_with_interval
    from headtorch.core.records import Interval
    from headtorch.tui.cli.output import print_note, print_table

    def between(value: object) -> str | None:
        return f"{value.low:.2f}–{value.high:.2f}" if isinstance(value, Interval) else None

    def points(value: object) -> str | None:
        return points_with_interval(value) if isinstance(value, Estimate) else None

    with_auroc = any(row["auroc"] is not None for row in rows)
    with_claims = any(row["contrast"] is not None for row in rows)
    print_table(
        [
            ("neuron", "left"),
            ("head", "left"),
            ("E", "right"),
            ("95 %", "left"),
            ("n", "left"),
            *([("AUROC", "right")] if with_auroc else []),
            ("q", "right"),
            *([("Δ", "left")] if with_claims else []),
            ("explanation", "text"),
        ],
        [
            (
                row["neuron"],
                row["head"],
                row["e"],
                between(row["interval"]),
                None if row["n_active"] is None else f"{row['n_active']}+{row['n_inactive']}",
                *([row["auroc"]] if with_auroc else []),
                row["q"],
                *([points(row["contrast"])] if with_claims else []),
                row["explanation"] or row["unanswered"],
            )
            for row in rows
        ],
    )
    print_note(
        "E: the mean of true positive and true negative rate on unseen prompts (chance 0.5); n: active + inactive"
    )
    if with_auroc:
        print_note("AUROC: of the judge's probability that the head is active, or of the rule's degree (chance 0.5)")
    if with_claims:
        print_note(
            "Δ: effect contrast, the head's share of the activation where the claim holds less that elsewhere, in "
            "percentage points"
        )
    unusable = sum(found for row in rows if isinstance(found := row["unusable"], int))
    if unusable:
        print_note(f"The judge gave neither active nor inactive {unusable:,} times, which counts as wrong.")
