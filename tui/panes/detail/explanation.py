"""The Explanation tab: what is claimed about the head, how far it holds, and what it should be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.engine.protocol import ExplainHead
from headtorch.core.records import Explanation, HeadId, NeuronId, Score
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.ablation import in_one_line
from headtorch.tui.panes.detail.drawing import fact
from headtorch.tui.panes.detail.unexplained import failure, is_working, why_unexplained
from headtorch.tui.panes.detail.verdict import baseline, confusions, in_brackets, validity, verdict
from headtorch.tui.panes.figures import fixed, signed
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def explanation(session: Session, width: int, palette: Palette) -> list[Text]:
    """The newest explanation of the selected head with its score, then the neuron's own numbers."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None:
        return [Text("No neuron is selected.", style=palette.style("quiet"))]
    if head is None:
        lines = paragraph("No head is selected: 3 leads to the heads.", width, palette.style("quiet"))
    else:
        lines = _of_head(session, neuron, head, width, palette)
    about = [*validity(session, neuron, width, palette), *_warnings(session, neuron, width, palette)]
    return [*lines, Text(), *about] if about else lines


def _of_head(session: Session, neuron: NeuronId, head: HeadId, width: int, palette: Palette) -> list[Text]:
    lines: list[Text] = []
    working, found = is_working(session, ExplainHead, neuron, head), session.explanation()
    if working:
        lines += [Text(f"Explaining {head} on {neuron} …", style=palette.style("bright")), Text()]
    elif failed := failure(session, ExplainHead, neuron, head):
        lines += [*paragraph(f"Explaining failed: {failed}", width, palette.style("warning")), Text()]
    if found is not None:
        lines += _claim(session, neuron, head, *found, width, palette)
    elif not working:
        lines += paragraph(why_unexplained(session, neuron, head), width, palette.style("text"))
    done = session.state.ablations_of(neuron, head)
    lines += flow(_activity(session, neuron, head, palette), width)
    lines += flow(in_one_line(done[-1], palette) if done else [], width)
    if found is not None and found[1] is not None and found[1].e is not None:
        lines += baseline(session, found[0].explainer, width, palette)
        lines += confusions(session, neuron, head, found[1], width, palette)
    return lines


def _claim(
    session: Session,
    neuron: NeuronId,
    head: HeadId,
    said: Explanation,
    score: Score | None,
    width: int,
    palette: Palette,
) -> list[Text]:
    lines = [*paragraph(said.text, min(width, 100), palette.style("bright")), Text()]
    lines += verdict(score, width, palette) if score else [Text("Not scored yet.", style=palette.style("quiet"))]
    origin = [fact("by", said.explainer, palette)]
    if said.train_balanced_accuracy is not None:
        origin.append(fact("on the prompts it was made from", fixed(said.train_balanced_accuracy), palette))
    return [*lines, *flow(origin, width), *_others(session, said, width, palette)]


def _others(session: Session, newest: Explanation, width: int, palette: Palette) -> list[Text]:
    """Other explainers' claims about the same head, with their E."""
    lines: list[Text] = []
    for said in session.state.explanations_of(newest.neuron):
        if said.head == newest.head and said.explainer != newest.explainer:
            score = session.state.scores.get((said.neuron, said.head, said.explainer))
            e = f"E {fixed(score.e)} {in_brackets(score.interval)}" if score is not None else "not scored"
            lines += paragraph(f"{said.explainer}: {said.text} ({e})", width, palette.style("quiet"))
    return lines


def _activity(session: Session, neuron: NeuronId, head: HeadId, palette: Palette) -> list[Text]:
    activity = session.state.activity_of(neuron, head)
    if activity is None:
        return []
    name = "suppressing, active on" if activity.suppressing else "active on"
    return [
        fact(name, f"{sum(activity.active)} of {len(activity.active)}", palette),
        fact("mean A(h)", f"{signed(activity.mean_active)} active", palette),
        fact("", f"{signed(activity.mean_inactive)} inactive", palette),
    ]


def _warnings(session: Session, neuron: NeuronId, width: int, palette: Palette) -> list[Text]:
    return [
        line
        for (text, about) in session.state.warnings
        if about == neuron
        for line in paragraph(f"! {text}", width, palette.style("warning"))
    ]
