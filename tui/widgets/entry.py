"""A line to type in: no blinking, and nothing gets in that a terminal would obey."""

from __future__ import annotations

import unicodedata

from textual import events
from textual.widgets import Input

from headtorch.core.text import HIDDEN_CATEGORIES


def typed(text: str, lines: bool = False) -> tuple[str, int]:
    """The text as it may stand in a field, and how many characters were left out.

    Characters that cannot be seen or that drive a terminal are left out. Without `lines`, line ends and tabs become
    spaces; with it they stay, as \\n and \\t.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text if lines else text.replace("\n", " ").replace("\t", " ")
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in HIDDEN_CATEGORIES)
    return kept, len(text) - len(kept)


class Entry(Input):
    """One line; a paste of several becomes one. Takes no room beyond its line."""

    DEFAULT_CSS = """
    Entry, Entry:focus {
        height: 1; border: none; padding: 0; color: $ht-bright;
        background: $ht-surface; background-tint: $ht-surface 0%;
    }
    Entry > .input--cursor { background: $ht-bright; color: $ht-background; text-style: none; }
    Entry > .input--placeholder { color: $ht-quiet; }
    Entry > .input--selection { background: $ht-line; }
    """

    def __init__(self, value: str = "", placeholder: str = "", id: str | None = None) -> None:
        super().__init__(typed(value)[0], placeholder=placeholder, id=id, compact=True, select_on_focus=False)
        self.cursor_blink = False

    def replace(self, text: str, start: int, end: int) -> None:
        """Put text in the place of other text, without what a field cannot hold. All editing goes through here."""
        super().replace(typed(text)[0], start, end)

    def on_paste(self, event: events.Paste) -> None:
        """Textual would keep the first line only."""
        self.replace(event.text, *self.selection)
        event.prevent_default().stop()
