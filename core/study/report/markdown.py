"""The report as Markdown, findings first. Text of a corpus or a model passes through `escaped` only."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.records import Explanation, GroupMean, Interval
from headtorch.core.settings import Settings, changed_settings
from headtorch.core.study.bars import AXIS, bars
from headtorch.core.study.report.cause import cause_section
from headtorch.core.study.report.contents import Report, ScoredHead, other_notes
from headtorch.core.study.report.escape import escaped, escaped_token
from headtorch.core.study.report.findings import findings
from headtorch.core.study.report.method import LIMITS, PAPER, formulas, method_notes
from headtorch.core.study.report.models import explainers_compared, language_models
from headtorch.core.study.report.neurons import neuron_section
from headtorch.core.study.report.people import people
from headtorch.core.study.report.phrases import ABOUT_SOME, delta_log_p, number, percent, small, table, with_interval
from headtorch.core.study.report.pooled import ks_appendix, pooled_section
from headtorch.core.study.report.provenance import provenance
from headtorch.core.study.rows import NeuronRow


def to_markdown(report: Report) -> str:
    """The whole report, headings and tables in GitHub's Markdown."""
    lines = [
        f"# Study {escaped(report.study)}",
        f"**{escaped(report.verdict.sentence)}**",
        *_unfinished(report),
        *_chosen(report),
        *findings(report),
        *_question(report),
        *_marked(report),
        *_summary(report),
        *_explained(report),
        *_baseline(report),
        *explainers_compared(report.explainers),
        *people(report.people),
        *language_models(report),
        *cause_section(report),
        *pooled_section(report),
        *_warnings(report),
        "## The neurons",
        *(line for part in report.neurons for line in neuron_section(part, report)),
        *_method(report),
        *provenance(report),
        *ks_appendix(report),
    ]
    return "\n\n".join(lines) + "\n"


def _unfinished(report: Report) -> list[str]:
    if not report.unfinished:
        return []
    return [
        f"This study is not finished: {escaped(', '.join(report.unfinished))}. What follows is what is known so far."
    ]


def _chosen(report: Report) -> list[str]:
    if report.chosen is None:
        return []
    names = ", ".join(str(part.found.neuron) for part in report.neurons)
    return [f"{ABOUT_SOME} {names}."]


def _question(report: Report) -> list[str]:
    asked = report.settings
    tokens = [f"“{escaped_token(token)}”" for token in asked.token_texts] + [escaped(name) for name in asked.neurons]
    about = ", ".join(tokens) if tokens else "the best next-token neurons"
    lines = [
        "## The question",
        f"Which attention heads light the neurons of {about} (layers {escaped(asked.layers)}), and on which text?",
        *_facts(report),
    ]
    usual = Settings()
    own = [f"{name} = {getattr(asked, name)!r}" for name in changed_settings(usual, asked)]
    if own:
        lines.append(f"Settings that are not the default: {escaped(', '.join(own))}.")
    if report.notes.get("study"):
        lines.append(f"Note: {escaped(report.notes['study'])}")
    return lines


def _facts(report: Report) -> list[str]:
    lines, model, corpus = [], report.model, report.corpus
    if model is not None:
        block = "attention and MLP in parallel" if model.parallel else "attention before MLP"
        mlp = f"{'gated ' if model.gated else ''}{model.activation} MLP of {model.d_mlp:,} neurons"
        lines.append(
            f"Model: {escaped(model.name)} ({escaped(model.family)}, {model.n_layers} layers, {model.n_heads} heads, "
            f"d_model {model.d_model}, {escaped(mlp)}, {block}; {escaped(model.dtype)} on {escaped(model.device)}, "
            f"fingerprint {escaped(model.fingerprint[:16])})."
        )
    if corpus is not None:
        lines.append(
            f"Corpus: {escaped(corpus.name)} ({corpus.documents:,} documents in {corpus.clusters:,} groups of "
            f"near-copies, {corpus.tokens:,} tokens; {corpus.explain_documents:,} documents to explain from, "
            f"{corpus.score_documents:,} to score on; fingerprint {escaped(corpus.fingerprint[:16])})."
        )
    return lines


def _explained(report: Report) -> list[str]:
    lines = ["## Explained heads"]
    if not report.explained:
        lines.append("No explained head could be scored.")
    else:
        lines.append(
            "How well explanations tell active from inactive, the highest lower bound of E first. They are the best of "
            "many, so their E leans upwards; the medians above do not. E says nothing about the size of an effect."
        )
        header = ["neuron", "token", "head", "active when", "E [95 %]", "n", "q", "Δ log p, head ablated"]
        lines.append(table(header, [_scored(one) for one in report.explained]))
        if any(one.score.lower for one in report.explained):
            lines.append(
                "(n lower): so many of the prompts are from lower activation bins. The head is active on nearly all of "
                "the strongest prompts, so part of what its E tells apart is strong firing from weak."
            )
    if report.not_scorable:
        lines.append(
            "Explained heads that are not scorable, because all scoring prompts fell into one class: "
            f"{report.not_scorable}."
        )
    return lines


def _marked(report: Report) -> list[str]:
    """Bookmarks with their notes, and notes on what no section is about."""
    lines: list[str] = []
    if report.bookmarks:
        marks = [f"- ★ {escaped(mark)}{_note(report, mark)}" for mark in report.bookmarks]
        lines += ["Bookmarks:", "\n".join(marks)]
    if others := other_notes(report):
        lines += ["Other notes:", "\n".join(f"- {escaped(about)}{_note(report, about)}" for about in others)]
    return lines


def _note(report: Report, subject: str) -> str:
    note = report.notes.get(subject)
    return f": {escaped(note)}" if note else ""


def _scored(one: ScoredHead) -> list[str]:
    suppressing = " (suppresses)" if one.suppressing else ""
    ablation = one.ablations[0] if one.ablations else None
    return [
        str(one.found.neuron),
        escaped_token(one.found.token),
        f"{one.score.head}{suppressing}",
        _claim(one.explanation),
        with_interval(one.score.e, one.score.interval),
        f"{one.score.n_active} + {one.score.n_inactive}{_lower(one.score.lower)}",
        small(one.score.q),
        delta_log_p(ablation) if ablation else "–",
    ]


def _claim(said: Explanation) -> str:
    by = "" if said.explainer == "rules" else f" ({escaped(said.explainer)})"
    return f"{escaped(said.text)}{by}"


def _lower(count: int) -> str:
    return f" ({count} lower)" if count else ""


def _summary(report: Report) -> list[str]:
    header = [
        "neuron",
        "token",
        "c",
        "z",
        "kind",
        "valid",
        "context share",
        "explained",
        "scored",
        "median E",
        "surest E",
    ]
    rows = [
        [
            f"{row.neuron}{' (random)' if row.random else ''}",
            escaped_token(row.token),
            number(row.congruence),
            number(row.z, 1),
            row.kind,
            {True: "yes", False: "no", None: "–"}[row.valid],
            percent(row.context_share),
            str(row.heads_explained),
            str(row.scored),
            number(row.median_e),
            _best(row),
        ]
        for row in report.summary
    ]
    if not rows:
        return ["## Neurons at a glance", "No neurons were found."]
    return [
        "## Neurons at a glance",
        table(header, rows),
        "Context: the share of the activation that heads account for. Surest E: of the head "
        "whose E has the highest lower bound; being the first of several it is biased upwards.",
    ]


def _best(row: NeuronRow) -> str:
    if row.best_e is None or row.best_low is None or row.best_high is None:
        return number(row.best_e)
    best = with_interval(row.best_e, Interval(row.best_low, row.best_high))
    return f"{best}, n = {row.best_n_active} + {row.best_n_inactive}{_lower(row.best_lower or 0)}"


def _baseline(report: Report) -> list[str]:
    if not report.baseline:
        return []

    lines = ["## Against random neurons"]
    if any(seen.next_token.above_chance is not None for seen in report.baseline):
        lines.append(
            "Above chance: the lower bound of E is above 0.5 with q < 0.05. The mean is over neurons, heads of one "
            "neuron being alike; its interval is t over neurons, none with fewer than 8."
        )
    for seen in report.baseline:
        lines.append(
            f"Explanations by {escaped(seen.explainer)}, of next-token neurons: {_group(seen.next_token)}. Of random "
            f"neurons from the same layers: {_group(seen.random)}. "
            f"Difference of the means {with_interval(seen.difference, seen.interval)}."
        )
        lines += _distributions([one.values for one in report.groups if one.explainer == seen.explainer])
    return lines


def _group(scores: GroupMean) -> str:
    if scores.mean is None:
        return f"none could be scored (neurons: {scores.neurons})"
    mean = f"mean E {with_interval(scores.mean, scores.interval)}"
    counts = f"neurons: {scores.neurons}, heads: {scores.heads}, their median {number(scores.median)}"
    if scores.above_chance is None:  # of a study of an earlier version: the mean is over heads
        return f"{mean} ({counts})"
    return f"{scores.above_chance} of {scores.heads} above chance; {mean} ({counts})"


def _distributions(groups: Sequence[Sequence[float]]) -> list[str]:
    """Next-token and random neurons, as they stand in `Report.groups`."""
    if len(groups) != 2 or not all(groups):
        return []
    first, second = bars(*groups)
    return [f"```\nnext-token  {first.rstrip()}\nrandom      {second.rstrip()}\n         E  {AXIS}\n```"]


def _warnings(report: Report) -> list[str]:
    if not report.warnings:
        return []
    told = [
        f"- {f'{warning.neuron}: ' if warning.neuron else ''}{escaped(warning.text)}" for warning in report.warnings
    ]
    return ["## Warnings", "\n".join(told)]


def _method(report: Report) -> list[str]:
    tested = report.verdict.tested
    return [
        "## Method, in short",
        escaped(PAPER),
        table(["quantity", "meaning"], [list(map(escaped, row)) for row in formulas(report.settings, tested=tested)]),
        *method_notes(tested=tested),
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
    ]
