"""Several lines to type in: no blinking, and nothing gets in that a terminal would obey."""

from __future__ import annotations

from dataclasses import replace

from textual.document._document import EditResult
from textual.document._edit import Edit
from textual.widgets import TextArea

from headtorch.tui.widgets.entry import typed


class Area(TextArea):
    """A plain text field in the colours of the theme."""

    DEFAULT_CSS = """
    Area, Area:focus {
        border: none; padding: 0 1; background: $ht-surface; background-tint: $ht-surface 0%;
        color: $ht-text; scrollbar-size-vertical: 1;
        & .text-area--cursor { background: $ht-bright; color: $ht-background; text-style: none; }
        & .text-area--selection { background: $ht-line; }
        & .text-area--placeholder { color: $ht-quiet; }
    }
    Area .text-area--cursor { background: $ht-line; }
    """

    def __init__(self, text: str = "", placeholder: str = "", id: str | None = None) -> None:
        super().__init__(typed(text, lines=True)[0], id=id, highlight_cursor_line=False, placeholder=placeholder)
        self.cursor_blink = False

    def edit(self, edit: Edit) -> EditResult:
        """All typing and pasting goes through here."""
        return super().edit(replace(edit, text=typed(edit.text, lines=True)[0]))
