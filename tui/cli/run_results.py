"""What headtorch run prints when it is done: the verdict, findings, candidates and controls, then the neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headtorch.tui.cli.output import print_note, print_table, print_text

if TYPE_CHECKING:
    from headtorch.core.events import CallsMade
    from headtorch.core.records import GroupMean
    from headtorch.core.study.claim_rows import ClaimRow
    from headtorch.core.study.conclusions import Conclusions
    from headtorch.core.study.rows import NeuronRow, ScoreRow
    from headtorch.core.study.state import StudyState
    from headtorch.core.study.study import Study
    from headtorch.core.study.verdict import Controls

CANDIDATES, EXPLAINED = 8, 8  # shown


def results(study: Study, asked: Sequence[CallsMade] | None) -> dict[str, object]:
    """What --json prints: the conclusions as in report.json, then a row for each neuron and for each score.

    `asked` is what the command asked of language models, `calls` the whole study until now.
    """
    from headtorch.core.study.conclusions import conclusions
    from headtorch.core.study.rows import ablation_rows, score_rows, summary_rows

    concluded = conclusions(study.state)
    return {
        "study": str(study.folder),
        "verdict": concluded.verdict,
        "findings": concluded.findings,
        "candidates": concluded.candidates,
        "last_token": concluded.last_token,
        "controls": concluded.verdict.controls,
        "neurons": summary_rows(study.state),
        "scores": score_rows(study.state),
        "ablations": ablation_rows(study.state),
        "unanswered": list(study.state.unanswered.values()),
        "asked": list(asked or ()),
        "calls": list(study.state.calls.values()),
        "reports": study.state.reports,
    }


def print_results(study: Study, asked: Sequence[CallsMade] | None) -> None:
    """Print the conclusions of a study, its neurons, what language models were asked, and where the report is."""
    from headtorch.core.study.conclusions import conclusions
    from headtorch.tui.cli.run import print_calls

    state, concluded = study.state, conclusions(study.state)
    print_conclusions(concluded)
    _print_neurons(state, concluded)
    if not concluded.verdict.tested:
        _print_explained(state)
    for comparison in state.baseline.values():
        print_note(
            f"Explanations by {comparison.explainer}: of next-token neurons {_group(comparison.next_token)}; "
            f"of random neurons {_group(comparison.random)}."
        )
    print_calls(asked, state, study.settings.explainer_name, state.explainable())
    print_text()
    for path in state.reports:
        print_text(f"report: {path}")


def print_conclusions(concluded: Conclusions) -> None:
    """The verdict, then a line for each finding, for some candidates, and for the controls."""
    print_note(concluded.verdict.sentence)
    print_text()
    _print_claims("Findings", concluded.findings, len(concluded.findings))
    _print_claims("Candidates, valid neurons first", concluded.candidates, CANDIDATES)
    controls = _controls(concluded.verdict.controls)
    if controls:
        print_note(controls)
        print_text()


def _print_claims(title: str, rows: Sequence[ClaimRow], shown: int) -> None:
    from headtorch.core.study.claim_text import one_line

    if not rows:
        return
    print_note(f"{title}:")
    for row in rows[:shown]:
        because = f" · no finding: {', '.join(row.reasons)}" if row.reasons else ""
        print_note(f"  {one_line(row)}{because}")
    if len(rows) > shown:
        print_note(f"  and {len(rows) - shown:,} more, in the report")
    print_text()


def _controls(counts: Controls) -> str:
    """How far the mean effect contrast of each kind of control is from 0."""
    from headtorch.core.claims import Estimate
    from headtorch.core.format import points_with_interval

    parts = [
        f"{points_with_interval(Estimate(one.mean_contrast))} {name}"
        for name, one in (
            ("with a rule of another neuron", counts.other_neuron),
            ("with shuffled labels", counts.shuffled),
            ("with the rule of another head of the same neuron", counts.same_neuron),
        )
        if one.mean_contrast is not None
    ]
    return f"Controls, mean effect contrast in % of the activation: {', '.join(parts)}." if parts else ""


def _print_neurons(state: StudyState, concluded: Conclusions) -> None:
    """Valid neurons first, those that heads drive most on top."""
    from headtorch.core.format import percent
    from headtorch.core.study.rows import summary_rows
    from headtorch.core.text import visible_token

    rows = sorted(summary_rows(state), key=_neuron_order)
    tested = concluded.verdict.tested
    claims = {"claims": "left"} if tested else {"heads": "left"}
    columns = {
        "neuron": "left",
        "token": "text",
        "z": "right",
        "kind": "left",
        "P(t)": "right",
        "valid": "left",
        "context": "right",
        **claims,
        "median E": "right",
    }
    print_table(
        list(columns.items()),
        [
            (
                row.neuron,
                visible_token(row.token),
                short(row.z, 1),
                "random" if row.random else row.kind,
                short(row.next_share),
                row.valid,
                None if row.context_share is None else percent(row.context_share),
                _claims_of(row.neuron, concluded) if tested else f"{row.scored} of {row.heads_explained}",
                short(row.median_e),
            )
            for row in rows
        ],
        title="Neurons and the token each promotes, valid ones first",
    )
    heads = "claims: findings of those tested" if tested else "heads: scorable of explained"
    print_note(
        "P(t): share of the neuron's max-activating examples that the token follows; context: the share of its "
        f"activation that heads account for; {heads}; median E: of its heads' explanations (chance 0.5)"
    )
    print_text()


def _neuron_order(row: NeuronRow) -> tuple[bool, bool, float]:
    share = row.context_share if row.context_share is not None else float("-inf")
    return row.random, not row.valid, -share


def _claims_of(neuron: str, concluded: Conclusions) -> str:
    """findings of claims: 2 of 5."""
    rows = [*concluded.findings, *concluded.candidates, *concluded.last_token, *concluded.random]
    of_neuron = [row for row in rows if row.neuron == neuron]
    return f"{sum(row.is_finding for row in of_neuron)} of {len(of_neuron)}"


def _print_explained(state: StudyState) -> None:
    """Of a study without claims: its explained heads by the lower end of the interval of E."""
    from headtorch.core.study.rows import score_rows

    scored: list[ScoreRow] = [row for row in score_rows(state) if row.e is not None and not row.random]
    shown = sorted(scored, key=lambda row: -(row.low or 0.0))[:EXPLAINED]
    if not shown:
        return
    with_auroc = any(row.auroc is not None for row in shown)
    columns = [
        *(("neuron", "left"), ("head", "left"), ("E", "right"), ("95 %", "left"), ("n", "left")),
        *([("AUROC", "right")] if with_auroc else []),
        ("q", "right"),
    ]
    print_table(
        [*columns, ("explanation", "text")],
        [
            (
                row.neuron,
                row.head,
                short(row.e),
                f"{short(row.low)}–{short(row.high)}",
                f"{row.n_active}+{row.n_inactive}",
                *([short(row.auroc)] if with_auroc else []),
                short(row.q),
                row.explanation,
            )
            for row in shown
        ],
        title="Explained heads, by the lower end of the interval of E (the first of many lean upwards)",
    )
    print_note("n: prompts where the head is active + inactive; q: adjusted over all heads of the study")
    print_text()


def short(value: float | None, digits: int = 2) -> str | None:
    """A number for a narrow column; one that would round to 0 in another notation."""
    if value is None:
        return None
    rounded = f"{value:.{digits}f}"
    return f"{value:.0e}" if value and not float(rounded) else rounded


def _group(group: GroupMean) -> str:
    if group.mean is None:
        return "none could be scored"
    between = f" [{group.interval.low:.3f}, {group.interval.high:.3f}]" if group.interval else ""
    above = "" if group.above_chance is None else f"{group.above_chance} of {group.heads} above chance, "
    return f"{above}mean E {group.mean:.3f}{between} over {group.neurons} neurons"
