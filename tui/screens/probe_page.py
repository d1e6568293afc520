"""What the model does on a text of the user's own, as lines: the tokens, the heads, what follows, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from headtorch.core.engine.protocol import TextProbed, TokenProbability
from headtorch.core.records import HeadId
from headtorch.core.text import visible, visible_token
from headtorch.tui.palette import Palette
from headtorch.tui.panes.figures import MISSING, figure, fixed, signed, small
from headtorch.tui.selection import ShadingMode

SIDE_BY_SIDE = 72  # columns from which on heads and next tokens stand beside each other
HEADS_SHOWN, TOKENS_SHOWN, PEAKS, CHANGED_HEADS = 6, 8, 4, 3
UNCHANGED = 0.005  # a head's part that moved by less is not listed
BAR = 20  # columns of the longest bar


@dataclass(frozen=True)
class ProbePage:
    """One answer of the engine. `position` is the token marked, which may be ahead of the answer's own.

    `against` is the answer to compare with, kept by the user (`kept`) or simply the one before; `token` is the
    neuron's.
    """

    now: TextProbed
    position: int
    shading: ShadingMode = "activation"
    against: TextProbed | None = None
    kept: bool = False
    token: str | None = None

    def lines(self, width: int, palette: Palette) -> list[Text]:
        """Everything, on lines of `width` columns at the most."""
        out = [*self._tokens(width, palette), *self._at_position(palette), Text()]
        if width >= SIDE_BY_SIDE:
            left = width // 2 - 1
            out += _beside(self._heads(left, palette), self._next(width - left - 2, palette), left)
        else:
            out += [*self._heads(width, palette), Text(), *self._next(width, palette)]
        if self.against is not None:
            out += [Text(), *self._compared(self.against, width, palette)]
        for line in out:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return out

    def _tokens(self, width: int, palette: Palette) -> list[Text]:
        """The text, shaded; the marked token is bold and underlined between ▸ and ◂."""
        styles = self._shades(palette)
        lines = [Text()]
        for at, (token, style) in enumerate(zip(self.now.tokens, styles, strict=True)):
            chosen = at == self.position
            piece = Text(visible(token), style + Style(bold=True, underline=True) if chosen else style)
            if chosen:
                mark = palette.style("bright", bold=True)
                piece = Text.assemble(("▸", mark), piece, ("◂", mark))
            if lines[-1].cell_len and lines[-1].cell_len + piece.cell_len > width:
                lines.append(Text())
            lines[-1].append_text(piece)
        return lines

    def _shades(self, palette: Palette) -> list[Style]:
        values = {"activation": self.now.activation, "sources": self.now.sources, "attention": self.now.attention}
        shown = values[self.shading]
        if len(shown) != len(self.now.tokens):
            return [palette.style("text")] * len(self.now.tokens)
        most = max((abs(value) for value in shown), default=0.0) or 1.0
        if self.shading == "attention":
            return [palette.heat(value) for value in shown]
        if self.shading == "sources":
            return [palette.signed_heat(value / most) for value in shown]
        sign = -1.0 if -min(shown) > max(shown) else 1.0  # a gated neuron may fire with either sign
        return [palette.heat(sign * value / most) for value in shown]

    def _at_position(self, palette: Palette) -> list[Text]:
        quiet, bright = palette.style("quiet"), palette.style("bright", bold=True)
        activation, count = self.now.activation, len(self.now.tokens)
        line = Text.assemble(
            ("activation ", quiet),
            (figure(activation[self.position]), bright),
            (" at ", quiet),
            (visible_token(self.now.tokens[self.position]), palette.style("token")),
            (f", token {self.position + 1} of {count}", quiet),
        )
        if self.now.activation_without is not None and self.position == self.now.position:
            line.append(f"   without {self.now.head} ", quiet)
            line.append(figure(self.now.activation_without), palette.style("text"))
        strongest = sorted(range(count), key=lambda at: -abs(activation[at]))[:PEAKS]
        peaks = Text("strongest  ", quiet)
        for at in strongest:
            peaks.append(visible_token(self.now.tokens[at]), palette.style("token"))
            peaks.append(f" {figure(activation[at])}   ", palette.style("text"))
        return [line, peaks, self._sum(palette)]

    def shading_in_words(self) -> str:
        """What the tokens are shaded by."""
        if self.shading == "activation" or self.now.head is None:
            return "shaded by the neuron's activation"
        where = visible_token(self.now.tokens[self.now.position])
        if self.shading == "sources":
            return f"shaded by what {self.now.head} took from each token, at {where}"
        return f"shaded by the attention of {self.now.head} at {where}"

    def _heads(self, width: int, palette: Palette) -> list[Text]:
        """The strongest heads with bars."""
        now = self.now
        values = head_values(now)
        out = [_heading(f"Heads at {_place(now)}", palette)]
        ranked = sorted(values, key=lambda head: -abs(values[head]))
        shown = ranked[:HEADS_SHOWN]
        if now.head in values and now.head not in shown:
            shown[-1:] = [now.head]
        most = max((abs(values[head]) for head in shown), default=0.0) or 1.0
        room = max(1, min(BAR, width - 20))
        for head in shown:
            value, chosen = values[head], head == now.head
            line = Text(f"{'▸' if chosen else ' '} ", palette.style("bright"))
            line.append(f"{head!s:<8}", palette.style("bright" if chosen else "text", bold=chosen))
            line.append(f"{signed(value):>7} ", palette.style("bright" if chosen else "text"))
            line.append("█" * round(room * abs(value) / most), palette.style("lamp" if value > 0 else "negative"))
            out.append(line)
        return out

    def _sum(self, palette: Palette) -> Text:
        """Heads and other parts add up to the pre-activation."""
        now, quiet = self.now, palette.style("quiet")
        given = signed(sum(head_values(now).values()))
        if now.pre_activation is None or now.other is None:
            return Text(f"heads {given} of the activation at {_place(now)}, by the half rule", quiet)
        return Text.assemble(
            (f"heads {given} + other parts {signed(now.other)} = pre-activation ", quiet),
            (figure(now.pre_activation), palette.style("text")),
            (f"   error {small(now.error)}", quiet),
        )

    def _next(self, width: int, palette: Palette) -> list[Text]:
        """The next token's probabilities, with and without the head."""
        now, quiet = self.now, palette.style("quiet")
        before, after = _by_token(now.next_tokens), _by_token(now.next_without)
        both = now.head is not None and bool(after)
        tokens = sorted({**before, **after}, key=lambda t: -max(before.get(t, 0.0), after.get(t, 0.0)))[:TOKENS_SHOWN]
        out = [_heading(f"Next token after {_place(now)}", palette)]
        name = max(8, min(18, width - 26))
        columns = f"{'':<{name}}{'p':>8}" + (f"{'without':>9}{'change':>8}" if both else "")
        out.append(Text(columns, quiet))
        for token in tokens:
            word = Text(visible_token(token), palette.style("token", bold=token == self.token), no_wrap=True)
            word.truncate(name, overflow="ellipsis", pad=True)
            word.append(f"{_p(before, token):>8}", palette.style("bright"))
            if both:
                change = signed(after[token] - before[token]) if token in before and token in after else MISSING
                word.append(f"{_p(after, token):>9}{change:>8}", palette.style("text"))
            out.append(word)
        return out

    def _compared(self, base: TextProbed, width: int, palette: Palette) -> list[Text]:
        """Before → now: activation, the neuron's token, and the heads that changed most."""
        which = "the kept text" if self.kept else "the text before"
        out = [_heading(f"What changed since {which}", palette)]
        quote = visible("".join(base.tokens[: base.position + 1]).strip())
        out.append(Text(f"{which}, at {_place(base)}: {quote[-max(10, width - 40) :]}", palette.style("quiet")))
        rows: list[tuple[str, float | None, float | None]] = [
            ("activation", base.activation[base.position], self.now.activation[self.now.position])
        ]
        if self.token is not None:
            p_before = _by_token(base.next_tokens).get(self.token)
            p_now = _by_token(self.now.next_tokens).get(self.token)
            rows.append((f"p({visible_token(self.token)})", p_before, p_now))
        before, now = head_values(base), head_values(self.now)
        by_change = sorted(now, key=lambda head: -abs(now[head] - before.get(head, 0.0)))
        moved = [head for head in by_change[:CHANGED_HEADS] if abs(now[head] - before.get(head, 0.0)) >= UNCHANGED]
        rows += [(str(head), before.get(head, 0.0), now[head]) for head in moved]
        out += [_change(*row, palette) for row in rows]
        return out


def head_values(answer: TextProbed) -> dict[HeadId, float]:
    """Each head's part; heads that cannot feed the neuron are left out."""
    return {
        HeadId(layer, index): value
        for layer, row in enumerate(answer.heads)
        for index, value in enumerate(row)
        if value is not None
    }


def _change(name: str, before: float | None, now: float | None, palette: Palette) -> Text:
    known = before is not None and now is not None
    change = signed(now - before) if before is not None and now is not None else MISSING
    line = Text(f"{name:<14}", palette.style("quiet"))
    line.append(f"{figure(before):>8} → {figure(now):<8}", palette.style("text"))
    return line.append(f"{change:>8}", palette.style("bright", bold=known))


def _heading(text: str, palette: Palette) -> Text:
    return Text(text, palette.style("bright", bold=True))


def _place(answer: TextProbed) -> str:
    return f"{visible_token(answer.tokens[answer.position])} ({answer.position + 1})"


def _by_token(shown: Iterable[TokenProbability]) -> dict[str, float]:
    return {one.token: one.p for one in shown}


def _p(known: dict[str, float], token: str) -> str:
    """A probability; of a token beyond the ones known, what it is below."""
    return fixed(known[token], 3) if token in known else f"<{fixed(min(known.values()), 3)}" if known else MISSING


def _beside(left: Sequence[Text], right: Sequence[Text], width: int) -> list[Text]:
    """Two columns, the left one `width` wide."""
    out = []
    for at in range(max(len(left), len(right))):
        line = left[at].copy() if at < len(left) else Text()
        line.truncate(width, overflow="ellipsis", pad=True)
        out.append(line.append("  ").append_text(right[at] if at < len(right) else Text()))
    return out
