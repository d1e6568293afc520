"""Everybody who says something about a head, side by side: one line each, the one shown in full marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.records import HeadId, NeuronId, Score
from headtorch.core.text import visible
from headtorch.tui.explaining import explainers, shown_explainer
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.judged import judge_in_words, judged_of
from headtorch.tui.panes.detail.labels import labels_of
from headtorch.tui.panes.detail.verdict import in_brackets
from headtorch.tui.panes.figures import fixed

if TYPE_CHECKING:
    from headtorch.tui.session import Session

NAME = 28  # columns of a name at most
SCORE, COUNT, F1 = 22, 12, 10  # columns


def side_by_side(session: Session, neuron: NeuronId, head: HeadId, width: int, palette: Palette) -> list[Text]:
    """Name, E with its interval, n, F1 and judge of each explainer; nothing where there is only one."""
    names, chosen = explainers(session), shown_explainer(session)
    if len(names) < 2:
        return []
    shown = {name: _shortened(visible(name), min(NAME, max(8, width // 3))) for name in names}
    column = max(text.cell_len for text in shown.values())
    lines = []
    for name in names:
        mine = name == chosen
        line = Text("▸ " if mine else "  ", style=palette.style("bright"))
        line.append(shown[name].plain, palette.style("bright" if mine else "text", bold=mine))
        line.append(" " * (column - shown[name].cell_len + 2))
        line.append(_standing(session, neuron, head, name), palette.style("bright" if mine else "quiet"))
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return lines


def _standing(session: Session, neuron: NeuronId, head: HeadId, name: str) -> str:
    """How far the explainer is with the head."""
    key, state = (neuron, head, name), session.state
    score = state.scores.get(key)
    if session.heard.of(key) or score is None:
        labels = labels_of(session, neuron, head)
        judged = judged_of(session, neuron, head, name, labels) if labels is not None else None
        if judged is not None:
            return judged.in_words()
        if key in session.heard.texts:
            return "is heard"
        if key in state.unanswered:
            return "gave no answer"
        return "not scored" if key in state.explanations else "is asked"
    judgement = state.judgements.get(key)
    return _scored(score, judge_in_words(judgement.judge, name) if judgement is not None else "")


def _scored(score: Score, judge: str) -> str:
    if score.e is None:
        return "not scorable"
    e = f"E {fixed(score.e)} {in_brackets(score.interval)}".ljust(SCORE)
    n = f"n {score.n_active} + {score.n_inactive}".ljust(COUNT)
    f1 = f"F1 {fixed(score.f1)}".ljust(F1)
    return f"{e}{n}{f1}{'judged by ' + judge if judge else ''}".rstrip()


def _shortened(name: str, room: int) -> Text:
    text = Text(name)
    text.truncate(room, overflow="ellipsis")
    return text
