"""Where a text is edited so that a rule no longer holds of it, where for the placebo, and by which tokens.

The last token, at which the neuron fires, is never touched. Both edits replace as many tokens (or insert one at the
same place), and draw them alike: from the tokens that a model finds likely at that place, in proportion to their
probability.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from headtorch.core.explain.lexicon import normal_word
from headtorch.core.explain.named_tokens import named_tokens, term_positions
from headtorch.core.explain.rule import Rule, Term

MOST_EDITS = 6  # tokens of a text; a rule that more of them make hold is about the text at large
ATTEMPTS = 12  # draws for a text before it is passed over
INSERTED_WITHIN = 12  # tokens from the end
LIKE_DISTANCE = 2  # a placebo lies at most twice as far from the end, and at least half as far, give or take so many

Kind = Literal["replace", "insert"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Likely:
    """A token that the model finds likely at a place."""

    token_id: int
    text: str
    probability: float


Likelies = Mapping[int, Sequence[Likely]]  # by index in the text: of the token there, or of one put in front of it


@dataclass(frozen=True)
class Edit:
    """Tokens to put in place of those at some indices of a text, or (insert) one in front of the token at an index."""

    kind: Kind
    tokens: Mapping[int, Likely]

    @property
    def texts(self) -> dict[int, str]:
        """The text of each token, by index."""
        return {index: likely.text for index, likely in self.tokens.items()}

    def apply(self, tokens: Sequence[str]) -> tuple[str, ...]:
        """The edited text."""
        return tuple(self._applied(list(tokens), self.texts))

    def apply_ids(self, ids: Sequence[int], offset: int) -> list[int]:
        """The same on token ids that begin `offset` tokens before the text."""
        return self._applied([int(i) for i in ids], {i + offset: likely.token_id for i, likely in self.tokens.items()})

    def _applied(self, items: list[Item], changes: Mapping[int, Item]) -> list[Item]:
        for index, item in changes.items():
            items[index : index + (self.kind == "replace")] = [item]
        return items


def plan_edit(rule: Rule, tokens: Sequence[str]) -> list[int] | None:
    """The indices whose tokens must be replaced for the rule, which holds, to become false; None where that cannot be.

    With "or", those of every term that holds; with "and", those of the term that needs the fewest.
    """
    holding = [term for term in rule.terms if term.holds(tokens)]
    per_term = [_breaking(term, tokens) for term in holding]
    if rule.join == "and":
        possible = [indices for indices in per_term if indices is not None]
        indices = min(possible, key=len, default=None)
    else:
        broken = [indices for indices in per_term if indices is not None]
        indices = sorted({i for one in broken for i in one}) if len(broken) == len(holding) else None
    return indices if indices and len(indices) <= MOST_EDITS else None


def plan_placebo(rule: Rule, tokens: Sequence[str], edit: Sequence[int], rng: random.Random) -> list[int] | None:
    """As many other indices at like distance from the end, of tokens that the rule does not name; None: there are none.

    Pieces of words are taken for pieces of words, whole words for whole words, as far as that is possible.
    """
    excluded = {*edit, *named_tokens(rule, tokens), len(tokens) - 1}
    free = [i for i in range(len(tokens)) if i not in excluded]
    chosen: list[int] = []
    for index in sorted(edit, reverse=True):
        near = [i for i in free if _is_like_distance(len(tokens) - i, len(tokens) - index)]
        alike = [i for i in near if _is_piece(tokens, i) == _is_piece(tokens, index)]
        nearest = sorted(alike or near, key=lambda i: (abs(i - index), rng.random()))[:2]
        if not nearest:
            return None
        chosen.append(rng.choice(nearest))
        free.remove(chosen[-1])
    return sorted(chosen)


def draw_replacement(
    rule: Rule, tokens: Sequence[str], indices: Sequence[int], likely: Likelies, holds: bool, rng: random.Random
) -> Edit | None:
    """Likely tokens for the indices with which the rule holds (or not); None where no draw gives that."""
    broken = [] if holds else [term for term in rule.terms if not term.negated and term.holds(tokens)]
    choices = {i: _replacements(tokens, i, likely.get(i, ()), broken) for i in indices}
    if not all(choices.values()):
        return None
    for _ in range(ATTEMPTS):
        edit = Edit("replace", {i: _draw(choices[i], rng) for i in indices})
        if rule.judges(edit.apply(tokens)) == holds:
            return edit
    return None


def draw_insertions(
    rule: Rule, tokens: Sequence[str], likely: Likelies, rng: random.Random
) -> tuple[Edit, Edit] | None:
    """A likely token put in before the last one that makes the rule false, and at the same place one that does not."""
    breaking = {index: _breaking_insertions(rule, tokens, index, choices) for index, choices in likely.items()}
    places = [index for index, edits in breaking.items() if edits]
    for _ in range(ATTEMPTS if places else 0):
        [index] = rng.choices(places, [sum(choice.probability for choice in breaking[i]) for i in places])
        placebo = Edit("insert", {index: _draw(likely[index], rng)})
        if rule.judges(placebo.apply(tokens)):
            return Edit("insert", {index: _draw(breaking[index], rng)}), placebo
    return None


def insertion_places(tokens: Sequence[str]) -> range:
    """Indices in front of which a token may be put in."""
    return range(max(0, len(tokens) - INSERTED_WITHIN), len(tokens))


def _breaking_insertions(rule: Rule, tokens: Sequence[str], index: int, choices: Sequence[Likely]) -> list[Likely]:
    absent = [term for term in rule.terms if term.negated]
    return [
        choice
        for choice in choices
        if any(_may_satisfy(term, choice.text, tokens) for term in absent)
        and not rule.judges(Edit("insert", {index: choice}).apply(tokens))
    ]


def _may_satisfy(term: Term, text: str, tokens: Sequence[str]) -> bool:
    if term.kind == "repeat":
        return text == tokens[-1]
    if term.kind == "inside":
        return not text.isalnum()
    return term.kind != "short" and term.matches((text,), 0)


def _breaking(term: Term, tokens: Sequence[str]) -> list[int] | None:
    """The indices to replace for a term that holds to become false; None where that would not do it."""
    indices = [] if term.negated else term_positions(term, tokens)
    if term.kind == "repeat":  # one token of every earlier occurrence
        indices = [i for i in indices if tokens[i] == tokens[-1] and _ends_repeat(tokens, i, term.farthest)]
    return indices if indices and indices[-1] < len(tokens) - 1 else None


def _ends_repeat(tokens: Sequence[str], index: int, n: int) -> bool:
    return tuple(tokens[index - n + 1 : index + 1]) == tuple(tokens[-n:])


def _is_like_distance(distance: int, of: int) -> bool:
    return of // 2 - LIKE_DISTANCE < distance <= 2 * of + LIKE_DISTANCE


def _is_piece(tokens: Sequence[str], index: int) -> bool:
    """Whether the token is a part of a word that goes on behind it or began before it."""
    return any(token[:1].isalnum() for token in tokens[index : index + 2])


def _replacements(tokens: Sequence[str], index: int, likely: Sequence[Likely], broken: Sequence[Term]) -> list[Likely]:
    """The likely tokens that are another word than the one there, and that none of the broken terms names."""
    here = normal_word(tokens[index]) or tokens[index].strip()
    others = [choice for choice in likely if (normal_word(choice.text) or choice.text.strip()) != here]
    if not broken:
        return others
    changed = [*tokens]
    allowed = []
    for choice in others:
        changed[index] = choice.text
        if not any(index in term_positions(term, changed) for term in broken):
            allowed.append(choice)
    return allowed


def _draw(choices: Sequence[Likely], rng: random.Random) -> Likely:
    return rng.choices(choices, [choice.probability for choice in choices])[0]
