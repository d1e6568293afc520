"""What a screen shows, for tests: its text, cell by cell, without colours."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.app import App


def screen_lines(app: App[Any]) -> list[str]:
    """The rendered lines of the present screen, each as wide as the screen, blanks included.

    A pane's modal dialogs are part of it: what is drawn is what the terminal would be sent for a whole new screen.
    """
    return ["".join(text for text, _, control in line if not control) for line in _segments(app)]


def screen_text(app: App[Any]) -> str:
    """The rendered screen as plain text; blanks at the ends of lines are left out."""
    return "\n".join(line.rstrip() for line in screen_lines(app)).rstrip() + "\n"


def drawn(app: App[Any], text: str) -> list[Segment]:
    """The segments that make up the first place where `text` stands on the screen, with their styles."""
    for line in _segments(app):
        whole = "".join(segment.text for segment in line)
        at = whole.find(text)
        if at >= 0:
            return [Segment(part, style) for part, style in _cut(line, at, at + len(text))]
    raise AssertionError(f"{text!r} is not on the screen:\n{screen_text(app)}")


def _segments(app: App[Any]) -> list[list[Segment]]:
    return [list(strip) for strip in app.screen._compositor.render_strips()]


def _cut(line: list[Segment], start: int, end: int) -> list[tuple[str, Any]]:
    parts, at = [], 0
    for segment in line:
        piece = segment.text[max(0, start - at) : max(0, end - at)]
        if piece:
            parts.append((piece, segment.style))
        at += len(segment.text)
    return parts
