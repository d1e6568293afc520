"""A rule: a few statements about the text up to the firing token, joined by "and" or "or". It judges by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from headtorch.core.errors import ExplanationError
from headtorch.core.explain.lexicon import is_stop, normal_word, token_classes
from headtorch.core.records import Record
from headtorch.core.text import visible

TermKind = Literal["token", "word", "class", "repeat", "short", "inside"]

OPENERS = {"brackets": ("([{", ")]}"), "curly quotes": ("“«", "”»")}


class Term(Record, frozen=True, kw_only=True):
    """One statement about a text. Distances count from its end: 1 is the last token, the one where the neuron fires.

    token, word, class: `value` is found at a distance from `nearest` to `farthest` (0: anywhere further back); with
        `clause` not before the clause in which the text ends, that is behind the last stop before the last token
    repeat: the last `farthest` tokens occurred earlier in the text, in the same order
    short: the text has at most `farthest` tokens; only rules of earlier versions say so
    inside: an opening mark of `value` ("quotes", "brackets", "curly quotes") is still open at the end
    """

    kind: TermKind
    value: str = ""
    nearest: Annotated[int, msgspec.Meta(ge=1)] = 1
    farthest: Annotated[int, msgspec.Meta(ge=0)] = 0
    clause: bool = False
    negated: bool = False

    def holds(self, tokens: Sequence[str]) -> bool:
        """Whether the statement is true of the text."""
        return self._found(tokens) != self.negated

    def _found(self, tokens: Sequence[str]) -> bool:
        if self.kind == "repeat":
            return repeats(tokens, self.farthest)
        if self.kind == "short":
            return len(tokens) <= self.farthest
        if self.kind == "inside":
            return inside(tokens, self.value)
        return any(self.matches(tokens, i) for i in in_window(self, tokens))

    def matches(self, tokens: Sequence[str], index: int) -> bool:
        """Whether the token at `index` is what a term on tokens, words or classes looks for."""
        if self.kind == "token":
            return tokens[index] == self.value
        if self.kind == "word":
            return normal_word(tokens[index]) == self.value
        return self.value in token_classes(tokens[index])

    def wording(self) -> str:
        """The statement in English."""
        if self.kind == "repeat":
            last = "the last token" if self.farthest == 1 else f"the last {self.farthest} tokens"
            return f"{last} occurred {'nowhere ' if self.negated else ''}earlier in the text"
        if self.kind == "short":
            return f"the text has {'more than' if self.negated else 'at most'} {self.farthest} tokens"
        if self.kind == "inside":
            return f"{self.value} are {'not ' if self.negated else ''}still open at the end"
        if self.nearest == self.farthest:
            return f"{_place(self.nearest)} is {'not ' if self.negated else ''}{self._what()}"
        whole = "the present clause" if self.clause else "the text"
        where = whole if self.farthest == 0 else f"the last {self.farthest} tokens"
        return f"{self._what()} is {'not ' if self.negated else ''}{'in' if self.farthest == 0 else 'among'} {where}"

    def _what(self) -> str:
        if self.kind == "class":
            return self.value
        quoted = f'"{visible(self.value)}"'
        return f"the word {quoted} in any case" if self.kind == "word" else quoted


class Rule(Record, frozen=True, kw_only=True):
    """Active when all (`and`) or any (`or`) of the terms hold; without terms, always or never."""

    terms: tuple[Term, ...] = ()
    join: Literal["and", "or"] = "or"
    default: bool = False  # the verdict when there are no terms

    def judges(self, tokens: Sequence[str]) -> bool:
        """The verdict on one text: True for active."""
        if not self.terms:
            return self.default
        held = (term.holds(tokens) for term in self.terms)
        return all(held) if self.join == "and" else any(held)

    def degree(self, tokens: Sequence[str]) -> float:
        """The share of the terms that hold of a text, from 0 to 1; without terms the verdict."""
        if not self.terms:
            return float(self.default)
        return sum(term.holds(tokens) for term in self.terms) / len(self.terms)

    def wording(self) -> str:
        """The rule in English."""
        if not self.terms:
            always = "always active" if self.default else "always inactive"
            return f"No visible feature separates the active from the inactive prompts; {always} is as good a guess."
        return "Active when " + f", {self.join} ".join(term.wording() for term in self.terms) + "."

    def dumps(self) -> str:
        """The rule as one line of JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def loads(cls, text: str) -> Rule:
        """Read what `dumps` wrote; raises ExplanationError for anything else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ExplanationError(f"This is not a rule that headtorch wrote: {error}") from None


def parsed_rule(text: str | None) -> Rule | None:
    """The rule that an explanation holds; None where it has none, or a regular expression in its place."""
    try:
        return Rule.loads(text) if text is not None else None
    except ExplanationError:
        return None


def in_window(term: Term, tokens: Sequence[str]) -> range:
    """Indices of the tokens that a term on tokens, words or classes looks at."""
    first = 0 if term.farthest == 0 else max(0, len(tokens) - term.farthest)
    if term.clause:
        first = max(first, len(tokens) - clause_length(tokens))
    return range(first, max(first, len(tokens) - term.nearest + 1))


def clause_length(tokens: Sequence[str]) -> int:
    """The number of tokens behind the last stop before the last token."""
    behind = (distance for distance in range(1, len(tokens)) if is_stop(tokens[-distance - 1]))
    return next(behind, len(tokens))


def repeats(tokens: Sequence[str], n: int) -> bool:
    """Whether the last n tokens occurred earlier, possibly overlapping themselves."""
    if n < 1 or len(tokens) <= n:
        return False
    last = tuple(tokens[-n:])
    return any(tuple(tokens[i : i + n]) == last for i in range(len(tokens) - n))


def inside(tokens: Sequence[str], kind: str) -> bool:
    """Whether the text ends inside an opened pair of marks."""
    text = "".join(tokens)
    if kind == "quotes":
        return text.count('"') % 2 == 1
    opening, closing = OPENERS.get(kind, ("", ""))
    depth = 0
    for character in text:
        if character in opening:
            depth += 1
        elif character in closing:
            depth = max(0, depth - 1)
    return depth > 0


def _place(distance: int) -> str:
    if distance == 1:
        return "the last token"
    return "the token before the last" if distance == 2 else f"the token {distance - 1} before the last"
