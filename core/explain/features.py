"""Every candidate statement about a set of texts, with the texts it is true of: what the rule search reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from headtorch.core.explain.lexicon import normal_word, token_classes
from headtorch.core.explain.rule import Term, TermKind, clause_length, inside, repeats

MAX_TOKENS = 128  # of a text, counted from its end
WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 32)  # the last so many tokens; besides these, anywhere
OFFSETS = (2, 3)  # exactly so far from the end
CLAUSE = -1  # instead of a farthest distance
_FAR = 1 << 10
_IN_WINDOWS = ("token", "word", "class")

Key = tuple[TermKind, str]


@dataclass(frozen=True)
class FeatureTable:
    """Distinct statements about a set of texts: made once, used for any number of labellings of them.

    holds: the texts that each statement is true of; no two rows are equal
    keys, key, spans, row: the candidate terms (kind and value; nearest and farthest distance, CLAUSE: as far as the
        present clause goes) and the row of each, ascending
    support: every statement is true of at least so many texts, and false of as many
    """

    holds: Bool[np.ndarray, "statement text"]
    keys: list[Key]
    key: Int[np.ndarray, " term"]  # index in `keys`
    spans: Int[np.ndarray, "term 2"]
    row: Int[np.ndarray, " term"]
    support: int

    @cached_property
    def as_float(self) -> Float[np.ndarray, "statement text"]:
        """`holds` as fp32, for products."""
        as_float: NDArray[np.float32] = self.holds.astype(np.float32)
        return as_float

    def term(self, index: int) -> Term:
        """A candidate term."""
        kind, value = self.keys[self.key[index]]
        nearest, farthest = self.spans[index].tolist()
        if farthest == CLAUSE:
            return Term(kind=kind, value=value, nearest=nearest, clause=True)
        return Term(kind=kind, value=value, nearest=nearest, farthest=farthest)

    def costs(self, suggested: Collection[str] = ()) -> Float[np.ndarray, " term"]:
        """How far-fetched each candidate term is, from 0; those about `suggested` tokens are less so."""
        base = np.array([_KIND_COST.get(kind, 0.5) for kind, _ in self.keys])
        base[self._suggested(suggested)] = 0.0
        costs: NDArray[np.float64] = base[self.key] + _distance_cost(self.spans[:, 1]) * self._is_windowed[self.key]
        return costs

    def statement_costs(self, costs: Float[np.ndarray, " term"]) -> Float[np.ndarray, " statement"]:
        """The cost of each statement: that of its cheapest term."""
        if not len(self.row):
            return np.zeros(0)
        starts = np.flatnonzero(np.diff(self.row, prepend=-1))
        least: NDArray[np.float64] = np.minimum.reduceat(costs, starts)
        return least

    def name(self, statement: int, costs: Float[np.ndarray, " term"]) -> Term:
        """The cheapest of the terms that say the same of these texts, with the middle of its windows that do so.

        The texts cannot tell those windows apart, and the middle one errs least. The last token alone stays that.
        """
        first, stop = np.searchsorted(self.row, [statement, statement + 1]).tolist()
        best = min(range(first, stop), key=lambda i: (costs[i], self.keys[self.key[i]], *self.spans[i].tolist()))
        nearest, farthest = self.spans[best].tolist()
        if self.keys[self.key[best]][0] not in _IN_WINDOWS or farthest in (1, CLAUSE) or nearest > 1:
            return self.term(best)
        spans = self.spans[first:stop]
        alike = (self.key[first:stop] == self.key[best]) & (spans[:, 0] == 1) & ~np.isin(spans[:, 1], (1, CLAUSE))
        by_window = first + np.flatnonzero(alike)[np.argsort(spans[alike, 1], kind="stable")]
        return self.term(int(by_window[len(by_window) // 2]))

    @cached_property
    def _is_windowed(self) -> NDArray[np.bool_]:
        return np.array([kind in _IN_WINDOWS for kind, _ in self.keys], bool)

    def _suggested(self, tokens: Collection[str]) -> list[int]:
        words = {normal_word(token) for token in tokens}
        return [
            i
            for i, (kind, value) in enumerate(self.keys)
            if (kind == "token" and value in tokens) or (kind == "word" and value in words)
        ]


_KIND_COST = {"token": 0.2, "word": 0.25, "class": 0.25}


def _distance_cost(farthest: Int[np.ndarray, " term"]) -> Float[np.ndarray, " term"]:
    """0 for the last token, more for statements that many texts meet by chance."""
    near = np.isin(farthest, (2, 3, 4, CLAUSE))
    cost: NDArray[np.float64] = np.where(farthest == 1, 0.0, np.where(near, 0.5, 1.0))
    return cost


def least_support(n_texts: int) -> int:
    """Texts in which a statement must make a difference: 2 % of them, at least 3 (2 of fewer than 12 texts)."""
    return max(3 if n_texts >= 12 else 2, -(-n_texts // 50))


def feature_table(texts: Sequence[Sequence[str]], *, support: int | None = None) -> FeatureTable:
    """All statements that are true of at least `support` texts and false of as many (`least_support` by default).

    Of each text the last 128 tokens count.
    """
    support = least_support(len(texts)) if support is None else support
    cut = [tuple(text[-MAX_TOKENS:]) for text in texts]
    keys, blocks = _window_terms(cut, support)
    for other, span, row_holds in _other_terms(cut):
        keys.append(other)
        blocks.append((np.array([len(keys) - 1]), np.array([span]), row_holds[None]))
    key = np.concatenate([block[0] for block in blocks])
    spans = np.concatenate([block[1] for block in blocks])
    holds = np.concatenate([block[2] for block in blocks])
    count = holds.sum(axis=1)
    fit = np.flatnonzero((count >= support) & (count <= len(texts) - support))
    first, row = _distinct(holds[fit])
    order = np.argsort(row, kind="stable")
    return FeatureTable(holds[fit[first]], keys, key[fit[order]], spans[fit[order]], row[order], support)


def _distinct(holds: Bool[np.ndarray, "term text"]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first of every set of equal rows, and for each row the number of its set."""
    if not holds.size:
        return np.zeros(0, np.int64), np.zeros(len(holds), np.int64)
    packed = np.ascontiguousarray(np.packbits(holds, axis=1))
    whole = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, row = np.unique(whole, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # in the order of the terms, not of their bytes
    return np.sort(first), rank[row.ravel()]


_Block = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]  # key, span and texts of some terms


def _window_terms(texts: Sequence[tuple[str, ...]], support: int) -> tuple[list[Key], list[_Block]]:
    """Terms on tokens, words and classes, in windows that end with the text, the last clause, fixed distances."""
    keys, nearest, exact = _distances(texts)
    common = np.flatnonzero((nearest < _FAR).sum(axis=1) >= support)
    blocks: list[_Block] = []
    for window in (*WINDOWS, 0):
        span = np.tile([1, window], (len(common), 1))
        blocks.append((common, span, nearest[common] <= (window or _FAR - 1)))
    clauses = np.array([clause_length(text) for text in texts], np.int64)
    blocks.append((common, np.tile([1, CLAUSE], (len(common), 1)), nearest[common] <= clauses))
    for offset in OFFSETS:
        blocks.append((common, np.full((len(common), 2), offset), exact[offset][common]))
    return keys, blocks


def _distances(
    texts: Sequence[tuple[str, ...]],
) -> tuple[list[Key], Int[np.ndarray, "key text"], dict[int, Bool[np.ndarray, "key text"]]]:
    """The smallest distance from the end at which each key is found (_FAR: nowhere); whether it is at each offset."""
    ids, token_keys, keys = _encoded(texts)
    nearest = np.full((len(keys), len(texts)), _FAR, np.int16)
    exact = {offset: np.zeros((len(keys), len(texts)), bool) for offset in OFFSETS}
    for distance in range(ids.shape[1], 0, -1):
        text = np.flatnonzero(ids[:, distance - 1] >= 0)
        of_text = token_keys[ids[text, distance - 1]]  # [text, slot]
        slot = of_text >= 0
        where = (of_text[slot], np.repeat(text, slot.sum(axis=1)))
        nearest[where] = distance
        if distance in exact:
            exact[distance][where] = True
    return keys, nearest, exact


def _encoded(
    texts: Sequence[tuple[str, ...]],
) -> tuple[Int[np.ndarray, "text distance"], Int[np.ndarray, "token slot"], list[Key]]:
    """Numbers of tokens counted from each text's end (−1: no token there), the keys of each token, and all keys."""
    numbers: dict[str, int] = {}
    longest = max(map(len, texts), default=0)
    ids = np.full((len(texts), longest), -1)
    for i, text in enumerate(texts):
        ids[i, : len(text)] = [numbers.setdefault(token, len(numbers)) for token in reversed(text)]
    key_numbers: dict[Key, int] = {}
    of_tokens = [[key_numbers.setdefault(key, len(key_numbers)) for key in _keys(token)] for token in numbers]
    token_keys = np.full((len(numbers), max(map(len, of_tokens), default=0)), -1)
    for number, found in enumerate(of_tokens):
        token_keys[number, : len(found)] = found
    return ids, token_keys, list(key_numbers)


def _keys(token: str) -> list[Key]:
    keys: list[Key] = [("token", token)]
    word = normal_word(token)
    if word is not None:
        keys.append(("word", word))
    keys.extend(("class", name) for name in token_classes(token))
    return keys


def _other_terms(texts: Sequence[tuple[str, ...]]) -> Iterator[tuple[Key, tuple[int, int], NDArray[np.bool_]]]:
    for n in (1, 2, 3):
        yield ("repeat", ""), (1, n), np.array([repeats(tokens, n) for tokens in texts], dtype=bool)
    for kind in ("quotes", "brackets", "curly quotes"):
        yield ("inside", kind), (1, 0), np.array([inside(tokens, kind) for tokens in texts], dtype=bool)
