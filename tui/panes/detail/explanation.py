"""The Explanation tab: what is claimed about the head, how far it holds, and what it should be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.engine.protocol import ExplainHead
from headtorch.core.records import HeadId, NeuronId, Score
from headtorch.core.text import visible
from headtorch.tui.explaining import own_explainer, shown_explainer, shown_explanation
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.ablation import in_one_line
from headtorch.tui.panes.detail.asking import (
    asked_now,
    heard_lines,
    study_lines,
    unanswered_lines,
    verdicts_so_far,
    working_line,
)
from headtorch.tui.panes.detail.drawing import fact
from headtorch.tui.panes.detail.explainers import side_by_side
from headtorch.tui.panes.detail.judged import judge_in_words
from headtorch.tui.panes.detail.unexplained import failure, why_unexplained
from headtorch.tui.panes.detail.verdict import baseline, confusions, validity, verdict
from headtorch.tui.panes.figures import fixed, signed
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session


def explanation(session: Session, width: int, palette: Palette) -> list[Text]:
    """Who explains the selected head, one explanation in full with its score, then the neuron's own numbers."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None:
        return [Text("No neuron is selected.", style=palette.style("quiet"))]
    if head is None:
        said = f"No head is selected: {session.key('workbench.pane-3')} leads to the heads."
        lines = paragraph(said, width, palette.style("quiet"))
    else:
        lines = _of_head(session, neuron, head, width, palette)
    about = [*validity(session, neuron, width, palette), *_warnings(session, neuron, width, palette)]
    about += study_lines(session, width, palette)
    return [*lines, Text(), *about] if about else lines


def _of_head(session: Session, neuron: NeuronId, head: HeadId, width: int, palette: Palette) -> list[Text]:
    lines = side_by_side(session, neuron, head, width, palette)
    lines += [Text()] if lines else []
    request, name, found = asked_now(session, neuron, head), shown_explainer(session), shown_explanation(session)
    if request is not None:
        lines += [*paragraph(working_line(session, request), width, palette.style("bright")), Text()]
    elif failed := failure(session, ExplainHead, neuron, head):
        lines += [*paragraph(f"Explaining failed: {failed}", width, palette.style("warning")), Text()]
    if name is not None:
        lines += _claim(session, neuron, head, name, width, palette, working=request is not None)
    elif request is None:
        lines += paragraph(why_unexplained(session, neuron, head), width, palette.style("text"))
    done = session.state.ablations_of(neuron, head)
    lines += flow(_activity(session, neuron, head, palette), width)
    lines += flow(in_one_line(done[-1], palette) if done else [], width)
    if found is not None and found[1] is not None and found[1].e is not None:
        lines += baseline(session, found[0].explainer, width, palette)
        lines += confusions(session, neuron, head, found[1], width, palette)
    return lines


def _claim(
    session: Session, neuron: NeuronId, head: HeadId, name: str, width: int, palette: Palette, *, working: bool
) -> list[Text]:
    said = session.state.explanations.get((neuron, head, name))
    score = session.state.scores.get((neuron, head, name))
    lines = heard_lines(session, neuron, head, name, width, palette, working=working)
    if said is not None:
        lines += paragraph(said.text, min(width, 100), palette.style("bright"))
    lines += [Text()] if lines else []
    so_far = verdicts_so_far(session, neuron, head, name, width, palette, working=working)
    missing = unanswered_lines(session, neuron, head, name, width, palette)
    lines += [*missing, *so_far]
    if score is not None and not so_far:
        lines += [*verdict(score, width, palette), *_no_q(session, score, width, palette)]
    elif said is not None and not so_far and not missing:
        lines.append(Text("Not scored yet.", style=palette.style("quiet")))
    return [*lines, *flow(_origin(session, neuron, head, name, palette), width)] if lines else []


def _origin(session: Session, neuron: NeuronId, head: HeadId, name: str, palette: Palette) -> list[Text]:
    """Who said it, who judged it, and how it does on what it was made from."""
    facts = [fact("by", visible(name), palette)]
    said = session.state.explanations.get((neuron, head, name))
    judgement = session.state.judgements.get((neuron, head, name))
    if judgement is not None:
        facts.append(fact("judged by", judge_in_words(judgement.judge, name), palette))
    if said is not None and said.train_balanced_accuracy is not None:
        facts.append(fact("on the prompts it was made from", fixed(said.train_balanced_accuracy), palette))
    return facts


def _no_q(session: Session, score: Score, width: int, palette: Palette) -> list[Text]:
    """Why a p has no q beside it, where that will stay so."""
    if score.p is None or score.q is not None or score.explainer == own_explainer(session.state):
        return []
    why = "it came after them" if score.explainer == "me" else f"those were explained by {own_explainer(session.state)}"
    said = f"No q: p is adjusted over the heads and the explainer that the study fixed beforehand; {why}."
    return paragraph(said, width, palette.style("quiet"))


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
