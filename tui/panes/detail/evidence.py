"""The Evidence tab: the neuron's prompts, those on which the head is active first, and how each was judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.records import HeadId, NeuronId
from headtorch.core.text import visible
from headtorch.tui.claims import SPLITS
from headtorch.tui.explaining import shown_explainer
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import ACTIVE, INACTIVE, context_line, fact, title
from headtorch.tui.panes.detail.judged import NEITHER, WRONG, Judged, judged_of
from headtorch.tui.panes.detail.labels import Labels, direct_of, labels_of
from headtorch.tui.panes.detail.unexplained import nothing_yet, unlabelled
from headtorch.tui.panes.figures import fixed, percent
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session

_WIDE, _NARROW = 78, 56  # columns from which on there is room for the split, and for the activation
MOST = 120  # lines of a class


def evidence(session: Session, width: int, palette: Palette) -> list[Text]:
    """Prompts with the head's number, the neuron's activation and, where it was scored on, the verdict."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None or head is None:
        return [Text("No head is selected.", style=palette.style("quiet"))]
    labels = labels_of(session, neuron, head)
    if labels is None:
        return _unlabelled(session, neuron, head, width, palette)
    who = shown_explainer(session)
    judged = judged_of(session, neuron, head, who, labels) if who is not None else None
    verdicts = judged.marks if judged is not None else [""] * len(labels.active)
    lines = _whose(who, judged, width, palette) if who is not None and judged is not None and judged.whole else []
    for wanted in (True, False):
        mine = [i for i, active in enumerate(labels.active) if active == wanted]
        if labels.firing:  # what was tested first
            mine.sort(key=lambda i: labels.prompts[i].half != "score")
        mark, name = (ACTIVE, "active") if wanted else (INACTIVE, "inactive")
        kind = ", lowering the neuron" if wanted and labels.suppressing else ""
        of = "firing places" if labels.firing else "prompts"
        what = f"{mark} {name} on {len(mine)} of {len(labels.active)} {of}{kind}"
        lines += [
            *flow([title(what, palette)], width),
            *_lines(session, labels, mine, verdicts, width, palette),
            Text(),
        ]
    return lines[:-1]


def _unlabelled(session: Session, neuron: NeuronId, head: HeadId, width: int, palette: Palette) -> list[Text]:
    reason = nothing_yet(session, neuron, head) or unlabelled(session, neuron, head)
    lines = paragraph(reason, width, palette.style("quiet"))
    prompts = session.state.prompts.get(neuron, [])
    direct = direct_of(session, head, len(prompts))
    if all(value is None for value in direct):
        return lines
    labels = Labels(prompts, [False] * len(prompts), direct)
    return [*lines, Text(), *_lines(session, labels, range(len(prompts)), [""] * len(prompts), width, palette)]


def _whose(name: str, judged: Judged, width: int, palette: Palette) -> list[Text]:
    """Whose words were judged, by whom, and what came of it."""
    facts = [fact("verdicts on", visible(name), palette)]
    facts += [fact("by", judged.judge, palette)] if judged.judge else []
    return [*flow([*facts, fact("", judged.in_words(), palette)], width), Text()]


def _lines(
    session: Session, labels: Labels, which: Sequence[int], verdicts: Sequence[str], width: int, palette: Palette
) -> list[Text]:
    if not which:
        return [Text("  none", style=palette.style("quiet"))]
    text = Text(f"{'A(h)':>13}", style=palette.style("quiet"))
    text.append("carries".rjust(9) if labels.firing else "")
    text.append("   fires" if width >= _NARROW else "")
    text.append("  split           " if width >= _WIDE else "")
    lines = [_line(session, labels, i, verdicts[i], width, palette) for i in which[:MOST]]
    rest = [Text(f"  … and {len(which) - MOST} more", style=palette.style("quiet"))] if len(which) > MOST else []
    return [text, *lines, *rest]


def _line(session: Session, labels: Labels, index: int, verdict: str, width: int, palette: Palette) -> Text:
    prompt = labels.prompts[index]
    selected = session.prompt()
    chosen = selected is not None and (prompt.document, prompt.position) == (selected.document, selected.position)
    quiet, number = palette.style("quiet"), palette.style("bright" if chosen else "text", bold=chosen)
    text = Text(f"{'▸' if chosen else ' '}{index + 1:>3} ", style=palette.style("bright" if chosen else "quiet"))
    text.append(fixed(labels.direct[index], sign=True).rjust(8), number)
    if labels.firing:
        text.append(percent(labels.carries[index]).rjust(9), number)
    if width >= _NARROW:
        text.append(fixed(prompt.activation).rjust(8), quiet)
    lower = "lower, " if prompt.bin is not None else ""
    if width >= _WIDE:
        text.append(f"  {lower + SPLITS[prompt.half]:<16}"[:18], quiet)
    missed = verdict in (WRONG, NEITHER)
    mark = palette.style("warning" if missed else "text", bold=missed)
    text.append((verdict or " ").center(3), mark)
    text.append(" ")
    return text.append_text(context_line(prompt, width - text.cell_len, palette))
