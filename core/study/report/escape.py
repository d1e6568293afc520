"""Any text as Markdown that shows that text and does nothing else: no markup, no HTML, no table cell too many."""

from __future__ import annotations

import re

from headtorch.core.text import visible, visible_token

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}  # a pipe ends a cell even behind a backslash
_ACTIVE = re.compile(
    r"(?P<link>(?:@|://|(?<=www)\.)+)|[\\`*_\[\]~$#^{}&<>|]|\.(?=[^\W\d_]{2})",
    re.IGNORECASE,
)
_OPENING = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")


def escaped(text: str) -> str:
    """The text, visible and inert, on one line. A Markdown reader shows exactly `visible(text)`."""
    inert = _ACTIVE.sub(_inert, visible(text))
    opening = _OPENING.match(inert)
    if opening is None:
        return _spaces_kept(inert)
    # A dash would open a list, equals signs a heading, and "1." a numbered list.
    rest = inert[opening.end() :]
    begun = f"{opening[2]}\\{rest[0]}{rest[1:]}" if opening[2].isdigit() else f"\\{opening[2]}{rest}"
    return _spaces_kept(opening[1] + begun)


def _inert(active: re.Match[str]) -> str:
    if active["link"]:  # some renderers look for addresses after they resolve escapes, but never through code
        return f"`{active['link']}`"
    return _ENTITIES.get(active[0], "\\" + active[0])


def escaped_token(token: str) -> str:
    """A token with its outer spaces shown as ·."""
    return escaped(visible_token(token))


def _spaces_kept(text: str) -> str:
    # Four spaces at the start would be code, two at the end a line break; runs of spaces would be shown as one.
    return re.sub(r"^ +| +$|(?<= ) +", lambda found: "&nbsp;" * len(found[0]), text)
