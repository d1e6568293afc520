"""Studies side by side as Markdown, for a colleague or a notebook. Text of studies passes through `escaped` only."""

from __future__ import annotations

from headtorch.core.analysis.consistency import RankAgreement
from headtorch.core.records import Interval
from headtorch.core.study.comparisons import Against
from headtorch.core.study.report.escape import escaped, escaped_token
from headtorch.core.study.report.phrases import number, percent, table, with_interval
from headtorch.core.study.side_by_side import HeadPair, Pair, SharedNeuron, SideBySide

LEGEND = (
    "ρ: Spearman between the two studies over the neuron's heads, n of them; β: a head's share of the neuron's "
    "variation on random positions; effect: the exact effect on the activation; direct: the mean attribution; "
    "active: the share of the strongest prompts on which a head is active, over heads worth explaining in both. "
    "Intervals are 95 %."
)


def comparison_markdown(found: SideBySide) -> str:
    """What `headtorch compare` prints, with headings and tables in GitHub's Markdown."""
    names = " and ".join(escaped(side.study) for side in found.studies)
    lines = [f"# {names}", *_studies(found), *_scores(found)]
    for pair in found.pairs:
        lines += _pair(pair)
    return "\n\n".join(lines) + "\n"


def _studies(found: SideBySide) -> list[str]:
    header = ["study", "model", "corpus", "neurons", "random", "heads explained", "scored", "finished"]
    rows = [
        [*map(escaped, (one.study, one.model, one.corpus)),
         *map(str, (one.neurons, one.random, one.explained, one.scored)), "yes" if one.finished else "no"]
        for one in found.studies
    ]  # fmt: skip
    lines = [table(header, rows)]
    if not found.settings:
        return [*lines, "All settings are the same."]
    settings = [[row.name, *map(escaped, row.values)] for row in found.settings]
    return [*lines, "## Settings that differ", table(["setting", *_names(found)], settings)]


def _names(found: SideBySide) -> list[str]:
    return [escaped(side.study) for side in found.studies]


def _scores(found: SideBySide) -> list[str]:
    lines = ["## Scores"]
    if not found.groups:
        return [*lines, "Nothing was scored yet."]
    header = [
        "study",
        "explainer",
        "judge",
        "neurons",
        "mean E [95 %]",
        "of neurons",
        "above chance",
        "lower",
        "unanswered",
    ]
    rows = [
        [escaped(one.study), escaped(one.explainer), escaped(", ".join(one.judges)), one.group,
         with_interval(one.scores.mean, one.scores.interval), str(one.scores.n_neurons),
         f"{one.scores.above_chance} of {one.scores.n_heads}", str(one.lower), str(one.unanswered)]
        for one in found.groups
    ]  # fmt: skip
    lines += [
        table(header, rows),
        "mean E: over neurons, with t over neurons, none with fewer than 8; above chance: heads whose lower bound of E "
        "is above 0.5 with q < 0.05; lower: heads scored against weaker firing, an easier question, left out of all of "
        "these.",
    ]
    if found.comparisons:
        header = ["first", "second", "difference of the means", "95 %", "Cliff's δ", "95 %"]
        lines.append(table(header, [_against(one) for one in found.comparisons]))
    return lines


def _against(one: Against) -> list[str]:
    seen = one.comparison
    numbers = [number(seen.difference, 3), _between(seen.interval), number(seen.delta), _between(seen.delta_interval)]
    return [escaped(one.first), escaped(one.second), *numbers]


def _pair(pair: Pair) -> list[str]:
    lines = [f"## {escaped(pair.first)} and {escaped(pair.second)}"]
    if not pair.same_model:
        return [*lines, "They are about different models, or one was never opened: their neurons are not the same."]
    if not pair.neurons:
        return [*lines, "They share no neuron."]
    lines.append(f"Neurons of both, on {'the same corpus' if pair.same_corpus else 'different corpora'}.")
    scored = f"E: median over scored heads, by {escaped(pair.explainer)}." if pair.explainer else ""
    lines += [
        table(
            ["neuron", "token", "kind", "valid", "E, first", "second", "n", "ρ β", "ρ effect", "ρ direct", "ρ active"],
            [_neuron(one) for one in pair.neurons],
        ),
        f"{scored} {LEGEND}".strip(),
    ]
    heads = [[str(one.neuron), *_head(head)] for one in pair.neurons for head in one.heads]
    if heads:
        header = ["neuron", "head", "active, first", "second", "difference", "direct", "β", "E, first", "second"]
        lines += ["Heads worth explaining in both:", table(header, heads)]
    return lines


def _neuron(one: SharedNeuron) -> list[str]:
    kinds = [row.kind if row else "–" for row in one.rows]
    valid = [{True: "yes", False: "no", None: "–"}[row.valid if row else None] for row in one.rows]
    return [
        f"{one.neuron}{' (random)' if any(row and row.random for row in one.rows) else ''}",
        escaped_token(one.token),
        _either(kinds),
        _either(valid),
        *(number(row.median_e if row else None) for row in one.rows),
        " + ".join(str(row.scored if row else 0) for row in one.rows),
        *(_rank(found) for found in (one.beta, one.effect, one.mean_direct, one.share)),
    ]


def _either(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _rank(found: RankAgreement) -> str:
    return "–" if found.spearman is None else f"{number(found.spearman)} (n = {found.n})"


def _head(head: HeadPair) -> list[str]:
    seen = head.activity
    return [
        f"{head.head}{' (suppressing)' if head.suppressing else ''}",
        percent(seen.first),
        percent(seen.second),
        with_interval(seen.difference, seen.interval),
        *(" and ".join(number(value) for value in values) for values in (head.mean_direct, head.beta)),
        *(with_interval(e, interval) for e, interval in zip(head.e, head.intervals, strict=True)),
    ]


def _between(interval: Interval | None) -> str:
    return "–" if interval is None else f"{number(interval.low, 3)} to {number(interval.high, 3)}"
