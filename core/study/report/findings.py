"""Findings, controls and candidates in Markdown: what every report begins with."""

from __future__ import annotations

from collections.abc import Iterator

from headtorch.core.claims import Estimate
from headtorch.core.format import in_words, percent, percent_with_interval, plain, small
from headtorch.core.study.claim_rows import ClaimRow, ContextRow, MatchedHeadRow
from headtorch.core.study.claim_text import condition, numbers, one_line, subject
from headtorch.core.study.report.claims import RewrittenClaim, rewritten_of
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.escape import escaped, escaped_token
from headtorch.core.study.report.phrases import number, table
from headtorch.core.study.rewritten import edit_runs, marked_edits
from headtorch.core.study.verdict import Controls

CANDIDATES_SHOWN = 40
CONTROL_NAMES = {
    "other_neuron": "a rule of another neuron",
    "shuffled": "shuffled labels",
    "context_shuffled": "shuffled pairs",
    "same_neuron": "the rule of another head of the same neuron (part may pass)",
}


def findings(report: Report) -> list[str]:
    """The section on findings, with controls and candidates; of an untested study the verdict stands alone."""
    if not report.verdict.tested:
        return []
    lines = ["## Findings"]
    lines.append("\n".join(f"- {escaped(one_line(row))}" for row in report.findings) or "No claim passed every test.")
    for row in report.findings:
        lines += finding(row, rewritten_of(report.rewritten, row))
    return [*lines, *controls(report.controls), *candidates(report), *last_token(report), *driven_by_token(report)]


def finding(row: ClaimRow, rewritten: RewrittenClaim | None) -> Iterator[str]:
    """One finding: its subject, rule and numbers, how sure they are, its heads, and texts that were rewritten."""
    yield f"### {escaped(subject(row))}"
    yield f"**{escaped(row.text)}** · {escaped(' · '.join(numbers(row)))}"
    yield _sureness(row)
    if isinstance(row, ContextRow) and row.heads:
        yield from _matched(row)
    if rewritten is not None:
        yield (
            f"Rewritten on held-out text, ‹before → {'' if rewritten.edit == 'replace' else '+ '}after›, and with the "
            "placebo; each with the neuron’s activation:"
        )
        yield "\n".join(f"- {line}" for line in rewritten_lines(rewritten))


def rewritten_lines(rewritten: RewrittenClaim) -> Iterator[str]:
    """Each text with its edit, and with the placebo's edit."""
    for text in rewritten.examples:
        edited = marked_edits(edit_runs(text.tokens, text.edited, rewritten.edit)).strip()
        yield f"{escaped(edited)}: {plain(text.activation)} → {plain(text.edited_activation)}"
        if text.placebo_activation is not None:
            placebo = marked_edits(edit_runs(text.tokens, text.placebo, rewritten.edit)).strip()
            yield f"placebo: {escaped(placebo)}: {plain(text.activation)} → {plain(text.placebo_activation)}"


def controls(counts: Controls) -> list[str]:
    """A table of the controls; nothing without any."""
    rows = [
        [
            escaped(name),
            f"{one.claims:,}",
            f"{one.passed:,}",
            percent(one.passed / one.claims),
            number(one.mean_contrast, 3),
        ]
        for field, name in CONTROL_NAMES.items()
        if (one := getattr(counts, field)).claims
    ]
    if not rows:
        return []
    return [
        "### Controls",
        "Claims that should fail, tested like the study’s own. Passed: the lower bound of E above 0.5, p values at or "
        "below the largest that passed among the study’s own claims, and an effect contrast above 0.",
        table(["control", "claims", "passed", "share", "mean contrast"], rows),
    ]


def candidates(report: Report) -> list[str]:
    """A row a candidate with the reasons why it is no finding."""
    if not report.candidates:
        return []
    shown = report.candidates[:CANDIDATES_SHOWN]
    left = len(report.candidates) - len(shown)
    rest = f" {left:,} more stand in the tables and the JSON of this report." if left else ""
    return [
        "### Candidates",
        f"Claims that did not pass every test, with the reasons; valid neurons first.{rest}",
        table(
            ["claim", "rule", "numbers", "no finding, because"],
            [[*_cells(row), escaped(", ".join(row.reasons))] for row in shown],
        ),
    ]


def last_token(report: Report) -> list[str]:
    """Claims that are not shown to be about more than the token at p."""
    if not report.last_token:
        return []
    shown = report.last_token[:CANDIDATES_SHOWN]
    return [
        "### Not shown to go beyond the last token",
        "Rules about the token that the neuron fires on, or whose contrast is not surely above 0 among places that "
        "share it, as a claim about context must be.",
        table(
            ["claim", "rule", "numbers", "no finding, because"],
            [[*_cells(row), escaped(", ".join(row.reasons))] for row in shown],
        ),
    ]


def driven_by_token(report: Report) -> list[str]:
    """Neurons whose heads are not explained, with the last tokens that activate them most."""
    neurons = {str(row.neuron): row for row in report.summary}
    rows = [
        [
            str(one.neuron),
            escaped_token(neurons[str(one.neuron)].token) if str(one.neuron) in neurons else "–",
            percent_with_interval(one.share),
            number(one.r2),
            ", ".join(f"“{escaped_token(last.token)}” {plain(last.activation)}" for last in one.last_tokens[:5]),
        ]
        for one in report.context_shares
        if not one.is_driven
    ]
    if not rows:
        return []
    return [
        "### Driven by their last token",
        "Neurons with a context share below 20 %: with all heads at the firing token at their means most of the "
        "activation is still there, so their heads are not explained. R²: how well the last token alone predicts it.",
        table(["neuron", "token", "context share", "R², held out", "strongest last tokens"], rows),
    ]


def _sureness(row: ClaimRow) -> str:
    """The intervals, numbers of texts and q values behind a finding, as a sentence."""
    interval = f" [{plain(row.e_low)}, {plain(row.e_high)}]" if row.e_low is not None else ""
    by = "" if row.explainer == "rules" else f", explained by {escaped(row.explainer)}"
    share = f"context share {percent(row.context_share)}"
    if isinstance(row, ContextRow):
        return (
            f"E {plain(row.e)}{interval} (q {small(row.q)}), AUROC {plain(row.auroc)}, on {row.pairs:,} held-out pairs "
            f"from {row.documents:,} documents; {share}{by}."
        )
    auroc = f", AUROC {plain(row.auroc)}," if row.auroc is not None else ""
    resample = ""
    if row.contrast_resample is not None:
        estimate = Estimate(row.contrast_resample, row.contrast_resample_low, row.contrast_resample_high)
        resample = f"; by resample ablation {percent_with_interval(estimate)}"
    return (
        f"E {plain(row.e)}{interval} (q {small(row.q_e)}){auroc} on {row.n_active} active and {row.n_inactive} "
        f"inactive held-out places; the rule holds on {row.n_holds} and not on {row.n_elsewhere}, from "
        f"{row.documents:,} documents; contrast q {small(row.q)}, {escaped(row.replacement)} ablation{resample}; "
        f"active by {row.label}; {share}{by}."
    )


def _matched(row: ContextRow) -> Iterator[str]:
    yield (
        "Heads exchanged within held-out matched pairs: what each takes of the difference between firing and off, what "
        "it restores, and how much of its attention and attribution lies on the tokens that the rule names."
    )
    header = ["head", "taken [95 %]", "q", "restored [95 %]", "attention", "attribution"]
    yield table(header, [_head(one) for one in row.heads])
    several = [
        f"{in_words(one.heads)} heads take {percent_with_interval(Estimate(one.taken, one.low, one.high))} and restore "
        f"{percent_with_interval(Estimate(one.restored, one.restored_low, one.restored_high))}"
        for one in row.joint
        if one.heads != row.eligible_heads
    ]
    together = [f"Together, of {row.eligible_heads:,} heads, {'; '.join(several)}."] if several else []
    needed = [f"{row.heads_for_80:,} heads take 80 %."] if row.heads_for_80 is not None else []
    yield " ".join([*together, *needed, *all_heads_check(row)])


def all_heads_check(row: ContextRow) -> list[str]:
    """A sentence on what all heads together take and restore: everything but what position embeddings do."""
    whole = next((one for one in row.joint if one.heads == row.eligible_heads), None)
    if whole is None:
        return []
    taken, restored = percent(whole.taken, 1), percent(whole.restored, 1)
    return [
        f"Check: all {row.eligible_heads:,} heads take {taken} and restore {restored} (100.0 % both ways in models "
        "without position embeddings)."
    ]


def _head(one: MatchedHeadRow) -> list[str]:
    return [
        one.head,
        percent_with_interval(Estimate(one.taken, one.taken_low, one.taken_high)),
        small(one.q),
        percent_with_interval(Estimate(one.restored, one.restored_low, one.restored_high)),
        percent(one.attends),
        percent(one.attributes),
    ]


def _cells(row: ClaimRow) -> list[str]:
    return [escaped(subject(row)), escaped(condition(row.text)), escaped(" · ".join(numbers(row)))]
