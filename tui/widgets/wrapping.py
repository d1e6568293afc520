"""Wrapping a long text of tokens: at words where it can, after line ends always, inside a token only where it must."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from headtorch.core.text import visible
from headtorch.tui.widgets.cells import head

Pieces = list[tuple[int, str]]  # tokens by index, and what is drawn of each


@dataclass(frozen=True)
class Wrapped:
    """Lines of pieces, and the line that each token begins on."""

    lines: list[Pieces]
    line_of: list[int]


def wrap(tokens: Sequence[str], width: int) -> Wrapped:
    """The tokens on lines of at most `width` cells (at least 2).

    Every token is on some line; only a space that would begin a wrapped line is left out.
    """
    page = _Page(max(2, width), len(tokens))
    for word in _words(tokens):
        if page.used and page.used + sum(cells for _, _, cells in word) > page.width:
            page.new_line()
            word = _without_space(word)
        for at, text, cells in word:
            page.write(at, text, cells)
        if "\n" in tokens[word[-1][0]]:
            page.new_line()
    if len(page.lines) > 1 and not page.lines[-1]:
        page.lines.pop()
    return Wrapped(page.lines, page.line_of)


class _Page:
    def __init__(self, width: int, tokens: int) -> None:
        self.width, self.used = width, 0
        self.lines: list[Pieces] = [[]]
        self.line_of = [0] * tokens

    def new_line(self) -> None:
        self.lines.append([])
        self.used = 0

    def write(self, at: int, text: str, cells: int) -> None:
        """Write on the present line, and what has no room there on the next ones."""
        if cells > self.width - self.used and not head(text, self.width - self.used):
            self.new_line()
        self.line_of[at] = len(self.lines) - 1
        while cells > self.width - self.used:
            part = head(text, self.width - self.used)
            self.lines[-1].append((at, part))
            text, cells = text[len(part) :], cells - cell_len(part)
            self.new_line()
        self.lines[-1].append((at, text))
        self.used += cells


Word = list[tuple[int, str, int]]  # token, what is drawn of it, cells


def _words(tokens: Sequence[str]) -> Iterator[Word]:
    """Runs of tokens that no line should part: a new one begins with a space and after a line end."""
    drawn: dict[str, tuple[str, int]] = {}
    word: Word = []
    for at, token in enumerate(tokens):
        if token not in drawn:
            shown = visible(token)
            drawn[token] = (shown, cell_len(shown))
        if word and (token[:1].isspace() or "\n" in tokens[at - 1]):
            yield word
            word = []
        word.append((at, *drawn[token]))
    if word:
        yield word


def _without_space(word: Word) -> Word:
    at, text, cells = word[0]
    return [(at, text[1:], cells - 1), *word[1:]] if text.startswith(" ") and len(text) > 1 else word
