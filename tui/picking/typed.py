"""The line under the field of tokens: whether each is one of the model's, and what the last may become."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from headtorch.core.errors import HeadtorchError
from headtorch.core.model.tokens_at_hand import TokensAtHand
from headtorch.core.text import visible, visible_token
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.picking.question import last_token, read_tokens, token_problem, write_tokens


class TypedTokens(Static):
    """Follows what is typed; its suggestions can be walked through."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.suggestions: list[str] = []
        self.walked: int | None = None  # the suggestion walked to
        self._line = ""
        self._tokens: TokensAtHand | HeadtorchError | None = None

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    def follow(self, line: str, tokens: TokensAtHand | HeadtorchError | None) -> None:
        """The line as it is typed now; the model's tokens, None while they are not known."""
        self._line, self._tokens = line, tokens
        self.suggestions = tokens.suggestions(last_token(line)[1]) if isinstance(tokens, TokensAtHand) else []
        self.walked = None if self.walked is None else min(self.walked, len(self.suggestions) - 1)
        self._draw()

    def walk(self, step: int) -> None:
        """To the next suggestion or the one before; between the last and the first to none."""
        places = [None, *range(len(self.suggestions))]
        self.walked = places[(places.index(self.walked) + step) % len(places)]
        self._draw()

    def walk_away(self) -> None:
        """To no suggestion."""
        self.walked = None
        self._draw()

    def take(self) -> str:
        """The line with the suggestion walked to in place of what was typed of it."""
        assert self.walked is not None
        suggestion, self.walked = self.suggestions[self.walked], None
        return last_token(self._line)[0] + write_tokens((suggestion,))

    def _draw(self) -> None:
        text = Text(no_wrap=True, overflow="ellipsis")
        for token in read_tokens(self._line):
            self._append_token(text, token)
        if isinstance(self._tokens, HeadtorchError):
            text.append(visible(str(self._tokens)), self.palette.style("quiet"))
        elif not read_tokens(self._line):
            text.append("the neurons of these layers that promote any token most", self.palette.style("quiet"))
        text.append("\n")
        if self.suggestions:
            text.append("↓ ", self.palette.style("quiet"))
        for i, suggestion in enumerate(self.suggestions):
            walked = i == self.walked
            style = self.palette.style("bright" if walked else "text", bold=walked, underline=walked)
            text.append(visible_token(suggestion), style).append("  ")
        self.update(text)

    def _append_token(self, text: Text, token: str) -> None:
        known = self._tokens if isinstance(self._tokens, TokensAtHand) else None
        problem = token_problem(token, known) if known is not None else None
        mark = "✗ " if problem else "✓ " if known is not None else "  "
        text.append(mark, self.palette.style("warning" if problem else "quiet"))
        text.append(visible_token(token), self.palette.style("token", bold=True))
        pieces = known.pieces(token) if problem and known is not None else []
        made = f" = {' + '.join(map(visible_token, pieces))}" if pieces else ""
        text.append(made + "  ", self.palette.style("quiet"))
