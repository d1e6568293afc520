"""Copying: through the terminal itself (OSC 52), so that it works over SSH where there is no clipboard to reach."""

from __future__ import annotations

import re
from typing import Any

from textual.app import App

from headtorch.core.text import visible

MOST_BYTES = 100_000  # what terminals and tmux pass on in one piece at the least


def copy(app: App[Any], text: str) -> bool:
    """Put the text on the terminal's clipboard and say so, or say why not; returns whether it was sent.

    Characters that drive a terminal are written out, since what is copied may be pasted into a shell.
    """
    inert = "".join(part if part in "\n\t" else visible(part) for part in re.split(r"([\n\t])", text))
    size = len(inert.encode("utf-8"))
    if not inert:
        said = "There is nothing to copy here."
    elif size > MOST_BYTES:
        said = (
            f"{size // 1000} kB are too much for the clipboard of a terminal ({MOST_BYTES // 1000} kB); x exports all."
        )
    else:
        app.copy_to_clipboard(inert)
        count = "1 character" if len(inert) == 1 else f"{len(inert):,} characters"
        app.notify(f"Copied {count}; your terminal must allow OSC 52.", markup=False)
        return True
    app.notify(said, markup=False, severity="warning")
    return False
