"""The Evidence tab: the neuron's prompts, those on which the head is active first, and how each was judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from headtorch.core.records import HeadId, NeuronId, Score
from headtorch.tui.palette import Palette
from headtorch.tui.panes.detail.drawing import ACTIVE, INACTIVE, context_line, title
from headtorch.tui.panes.detail.labels import Labels, direct_of, labels_of
from headtorch.tui.panes.detail.unexplained import nothing_yet
from headtorch.tui.panes.figures import fixed
from headtorch.tui.panes.flow import flow, paragraph

if TYPE_CHECKING:
    from headtorch.tui.session import Session

RIGHT, WRONG = "✓", "✗"
_WIDE, _NARROW = 78, 56  # columns from which on there is room for the half, and for the activation


def evidence(session: Session, width: int, palette: Palette) -> list[Text]:
    """Prompts with the head's number, the neuron's activation and, where it was scored on, the verdict."""
    neuron, head = session.selection.neuron, session.selection.head
    if neuron is None or head is None:
        return [Text("No head is selected.", style=palette.style("quiet"))]
    labels = labels_of(session, neuron, head)
    if labels is None:
        return _unlabelled(session, neuron, head, width, palette)
    said = session.explanation()
    verdicts = verdicts_of(labels, said[1] if said is not None else None)
    lines: list[Text] = []
    for wanted in (True, False):
        mine = [i for i, active in enumerate(labels.active) if active == wanted]
        mark, name = (ACTIVE, "active") if wanted else (INACTIVE, "inactive")
        kind = ", lowering the neuron" if wanted and labels.suppressing else ""
        what = f"{mark} {name} on {len(mine)} of {len(labels.active)} prompts{kind}"
        lines += [
            *flow([title(what, palette)], width),
            *_lines(session, labels, mine, verdicts, width, palette),
            Text(),
        ]
    return lines[:-1]


def _unlabelled(session: Session, neuron: NeuronId, head: HeadId, width: int, palette: Palette) -> list[Text]:
    reason = nothing_yet(session, neuron, head) or "On which prompts the head is active is not decided yet."
    lines = paragraph(reason, width, palette.style("quiet"))
    prompts = session.state.prompts.get(neuron, [])
    direct = direct_of(session, head, len(prompts))
    if all(value is None for value in direct):
        return lines
    labels = Labels(prompts, [False] * len(prompts), direct)
    return [*lines, Text(), *_lines(session, labels, range(len(prompts)), [""] * len(prompts), width, palette)]


def verdicts_of(labels: Labels, score: Score | None) -> list[str]:
    """✗ where the explanation was wrong, ✓ where it was right, empty where it was not asked or that is not known.

    A score says which prompts were judged wrongly; the others of its half were right only if all were judged.
    """
    if score is None:
        return [""] * len(labels.prompts)
    wrong = {*score.wrong_active, *score.wrong_inactive}
    halves = [prompt.half == "score" for prompt in labels.prompts]
    judged = {True: score.n_active, False: score.n_inactive}
    all_judged = {
        kind: score.e is not None
        and sum(half and active == kind for half, active in zip(halves, labels.active, strict=True)) == judged[kind]
        for kind in (True, False)
    }
    return [
        WRONG if i in wrong else RIGHT if half and all_judged[active] else ""
        for i, (half, active) in enumerate(zip(halves, labels.active, strict=True))
    ]


def _lines(
    session: Session, labels: Labels, which: Sequence[int], verdicts: Sequence[str], width: int, palette: Palette
) -> list[Text]:
    if not which:
        return [Text("  none", style=palette.style("quiet"))]
    half, fires = "  half            " if width >= _WIDE else "", "   fires" if width >= _NARROW else ""
    lines = [Text(f"{'A(h)':>13}{fires}{half}", style=palette.style("quiet"))]
    return lines + [_line(session, labels, i, verdicts[i], width, palette) for i in which]


def _line(session: Session, labels: Labels, index: int, verdict: str, width: int, palette: Palette) -> Text:
    prompt = labels.prompts[index]
    chosen = index == session.selection.prompt
    quiet, number = palette.style("quiet"), palette.style("bright" if chosen else "text", bold=chosen)
    text = Text(f"{'▸' if chosen else ' '}{index + 1:>3} ", style=palette.style("bright" if chosen else "quiet"))
    text.append(fixed(labels.direct[index], sign=True).rjust(8), number)
    if width >= _NARROW:
        text.append(fixed(prompt.activation).rjust(8), quiet)
    half = "lower, " if prompt.bin is not None else ""
    if width >= _WIDE:
        text.append(f"  {half + prompt.half:<14}"[:16], quiet)
    mark = palette.style("warning" if verdict == WRONG else "text", bold=verdict == WRONG)
    text.append((verdict or " ").center(3), mark)
    text.append(" ")
    return text.append_text(context_line(prompt, width - text.cell_len, palette))
