"""How good an explanation is: E with its interval, tests, controls, and the prompts it was wrong about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.records import GroupMean, HeadId, Interval, NeuronId, Score, Validity
from headtorch.core.text import visible
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import context_line, fact, interval_plot, title
from headtorch.tui.panes.detail.labels import labels_of
from headtorch.tui.panes.figures import fixed, percent, signed, small
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def verdict(score: Score, width: int, palette: Palette) -> list[Text]:
    """E in numbers and as a plot between 0 and 1, then what it has to be compared with."""
    if score.e is None:
        return _unscorable(score, width, palette)
    facts = [
        fact("E", fixed(score.e), palette, strong=True),
        Text(in_brackets(score.interval), style=palette.style("text")),
        fact("n", f"{score.n_active} + {score.n_inactive}", palette),
        fact("F1", fixed(score.f1), palette),
        fact("MCC", fixed(score.mcc), palette),
        *([fact("AUROC", fixed(score.auroc), palette)] if score.auroc is not None else []),
        fact("p", small(score.p), palette),
        fact("q", small(score.q), palette),
    ]
    plot = interval_plot(score.e, score.interval, max(21, min(41, width // 3)), palette)
    return [*flow(facts, width), *flow([plot, *controls(score, palette)], width), *flow(_aside(score, palette), width)]


def in_brackets(interval: Interval | None) -> str:
    """[0.71, 0.92], or that there is none."""
    return "[no interval]" if interval is None else f"[{fixed(interval.low)}, {fixed(interval.high)}]"


def controls(score: Score, palette: Palette) -> list[Text]:
    """What should do no better than chance."""
    return [
        fact(visible(control.name), fixed(control.e), palette).append(f" n {control.n}", palette.style("quiet"))
        for control in score.controls
    ]


def _aside(score: Score, palette: Palette) -> list[Text]:
    facts = [fact("right", f"{score.true_active}/{score.n_active} active", palette)]
    facts.append(fact("", f"{score.true_inactive}/{score.n_inactive} inactive", palette))
    if score.random_text_precision is not None:
        facts.append(fact("precision on random text", fixed(score.random_text_precision), palette))
    if score.dropped:
        facts.append(fact("near-copies dropped", str(score.dropped), palette))
    if score.unusable:
        facts.append(fact("unusable answers", str(score.unusable), palette, style="warning"))
    if score.lower:
        facts.append(fact("from lower activation bins", str(score.lower), palette))
    return facts


def _unscorable(score: Score, width: int, palette: Palette) -> list[Text]:
    missing = "inactive" if score.n_active else "active"
    count = score.n_active + score.n_inactive
    why = f"of {count} unseen prompts none is {missing}" if count else "no unseen prompt is left"
    dropped = f" {score.dropped} near-copies were dropped." if score.dropped else ""
    said = f"Not scorable: {why}, so there is nothing to tell apart.{dropped}"
    return paragraph(said, width, palette.style("warning"))


def confusions(
    session: Session, neuron: NeuronId, head: HeadId, score: Score, width: int, palette: Palette
) -> list[Text]:
    """The prompts that were judged wrongly, by what they really are."""
    labels = labels_of(session, neuron, head)
    prompts = labels.prompts if labels is not None else []
    lines: list[Text] = []
    sides = ((score.wrong_active, "active, judged inactive"), (score.wrong_inactive, "inactive, judged active"))
    for wrong, name in sides:
        known = [index for index in wrong if 0 <= index < len(prompts)]
        if known:
            lines += [Text(), *flow([title(f"✗ {name} ({len(wrong)})", palette)], width)]
        for index in known:
            text = Text(f"{index + 1:>4} ", style=palette.style("quiet"))
            lines.append(text.append_text(context_line(prompts[index], width - 5, palette)))
    return lines


def baseline(session: Session, explainer: str, width: int, palette: Palette) -> list[Text]:
    """E of the study's next-token neurons beside that of its random ones."""
    event = session.state.baseline.get(explainer)
    if event is None:
        return []
    facts = [
        *_group("next-token neurons: mean E", event.next_token, palette),
        *_group("random neurons", event.random, palette),
        fact("difference", f"{signed(event.difference)} {in_brackets(event.interval)}", palette),
    ]
    return flow(facts, width)


def _group(name: str, group: GroupMean, palette: Palette) -> list[Text]:
    value = f"{fixed(group.mean)} {in_brackets(group.interval)}"
    above = "" if group.above_chance is None else f"{group.above_chance} of "
    count = f" {above}{group.heads} heads{' above chance' if above else ''}, {group.neurons} neurons"
    return [fact(name, value, palette).append(count, palette.style("quiet"))]


def _odds(seen: Validity, palette: Palette) -> Text:
    if seen.odds_ratio is None:  # the token never occurs, or the study is of an earlier version
        return fact("lift", fixed(seen.lift, 1), palette)
    return fact("odds ratio", f"{seen.odds_ratio:,.0f} [{seen.odds_low:,.0f}, {seen.odds_high:,.0f}]", palette)


def validity(session: Session, neuron: NeuronId, width: int, palette: Palette) -> list[Text]:
    """Whether the neuron predicts its token."""
    seen = session.state.validity.get(neuron)
    if seen is None:
        return []
    said = "predicts its token" if seen.valid else "does not predict its token"
    facts = [
        fact(str(neuron), said, palette, style="text" if seen.valid else "warning"),
        fact("P(next = t | fires)", f"{fixed(seen.next_share)} (n {seen.n})", palette),
        fact("base rate", percent(seen.base_rate) if seen.base_rate >= 0.1 else small(seen.base_rate), palette),
        _odds(seen, palette),
        fact("AUROC", fixed(seen.auroc), palette),
        fact("logit attribution", signed(seen.logit_attribution), palette),
        fact("Δ log p at 0", signed(seen.ablation_log_p), palette),
    ]
    return flow(facts, width)
