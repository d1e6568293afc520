"""Every candidate statement about a set of texts, with the texts it is true of: what the rule search reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.explain.lexicon import normal_word, token_classes
from headtorch.core.explain.rule import Term, TermKind, inside, repeats

WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 32)  # the last so many tokens; besides these, anywhere
OFFSETS = (2, 3)  # exactly so far from the end
LENGTHS = (2, 4, 8, 16, 32)
_FAR = 1 << 20

Key = tuple[TermKind, str]


@dataclass(frozen=True)
class FeatureTable:
    """Candidate terms, simplest first, and the texts each holds of. No two terms hold of exactly the same texts."""

    terms: list[Term]
    holds: Bool[np.ndarray, "term text"]
    cost: Float[np.ndarray, " term"]  # how far-fetched a statement is, from 0


def feature_table(
    texts: Sequence[Sequence[str]], *, support: int, suggested: Mapping[str, int] | None = None
) -> FeatureTable:
    """All statements that hold of at least `support` different texts and fail for at least as many.

    Tokens in `suggested` (those the head looked up) come before other tokens; they are tested like any other.
    """
    terms, rows = _window_terms(texts, support, set(suggested or ()))
    extra = _other_terms(texts)
    terms += [term for term, _ in extra]
    holds = np.array(rows + [row for _, row in extra], dtype=bool).reshape(len(terms), len(texts))
    count = holds.sum(axis=1)
    fit = np.flatnonzero((count >= support) & (count <= len(texts) - support))
    cost = np.array([_cost(terms[i], set(suggested or ())) for i in fit])
    order = fit[sorted(range(len(fit)), key=lambda i: (cost[i], _spelling(terms[fit[i]])))]
    kept = _one_of_each(terms, holds, order)
    return FeatureTable(
        terms=[terms[i] for i in kept],
        holds=holds[kept],
        cost=np.array([_cost(terms[i], set(suggested or ())) for i in kept], dtype=np.float64),
    )


def _one_of_each(terms: Sequence[Term], holds: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of the terms that hold of the same texts the first in `order`, with the middle of its windows that do so.

    The texts cannot tell those windows apart, and the middle one errs least. The last token alone stays that.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i in order.tolist():
        groups[holds[i].tobytes()].append(i)
    kept = []
    for members in groups.values():
        first = terms[members[0]]
        alike = [i for i in members if (terms[i].kind, terms[i].value) == (first.kind, first.value)]
        windows = sorted(
            (i for i in alike if terms[i].farthest > 1 and terms[i].nearest == 1), key=lambda i: terms[i].farthest
        )
        middle = first.kind in ("token", "word", "class") and first.farthest > 1 and first.nearest == 1
        kept.append(windows[len(windows) // 2] if middle else members[0])
    return np.array(kept, dtype=np.int64)


def _window_terms(
    texts: Sequence[Sequence[str]], support: int, suggested: set[str]
) -> tuple[list[Term], list[NDArray[np.bool_]]]:
    """Terms on tokens, words and classes, in windows that end with the text and at fixed distances from its end."""
    nearest: dict[Key, dict[int, int]] = defaultdict(dict)  # key → text → smallest distance
    exact: dict[Key, set[tuple[int, int]]] = defaultdict(set)  # key → (text, distance), small distances only
    for number, tokens in enumerate(texts):
        for distance, token in enumerate(reversed(tokens), start=1):
            for key in _keys(token):
                nearest[key].setdefault(number, distance)
                if distance in OFFSETS:
                    exact[key].add((number, distance))
    terms: list[Term] = []
    rows: list[NDArray[np.bool_]] = []
    for (kind, value), found in nearest.items():
        if len(found) < support:
            continue
        distances = np.full(len(texts), _FAR)
        distances[list(found)] = list(found.values())
        for window in (*WINDOWS, 0):
            terms.append(Term(kind=kind, value=value, farthest=window))
            rows.append(distances <= (window or _FAR - 1))
        for offset in OFFSETS:
            row = np.zeros(len(texts), dtype=bool)
            row[[text for text, distance in exact[kind, value] if distance == offset]] = True
            terms.append(Term(kind=kind, value=value, nearest=offset, farthest=offset))
            rows.append(row)
    return terms, rows


def _keys(token: str) -> list[Key]:
    keys: list[Key] = [("token", token)]
    word = normal_word(token)
    if word is not None:
        keys.append(("word", word))
    keys.extend(("class", name) for name in token_classes(token))
    return keys


def _other_terms(texts: Sequence[Sequence[str]]) -> list[tuple[Term, NDArray[np.bool_]]]:
    found = [
        (Term(kind="repeat", farthest=n), np.array([repeats(tokens, n) for tokens in texts], dtype=bool))
        for n in (1, 2, 3)
    ]
    for kind in ("quotes", "brackets", "curly quotes"):
        row = np.array([inside(tokens, kind) for tokens in texts], dtype=bool)
        found.append((Term(kind="inside", value=kind), row))
    lengths = np.array([len(tokens) for tokens in texts])
    found += [(Term(kind="short", farthest=most), lengths <= most) for most in LENGTHS]
    return found


def _cost(term: Term, suggested: set[str]) -> float:
    """0 for the last token, more for statements that many texts meet by chance."""
    if term.kind in ("repeat", "inside"):
        return 0.5
    if term.kind == "short":
        return 1.0
    place = 0.0 if term.farthest == 1 else 0.5 if term.farthest in (2, 3, 4) else 1.0
    if term.kind == "class":
        return place + 0.25
    looked_up = term.value in suggested or any(normal_word(token) == term.value for token in suggested)
    return place if looked_up else place + 0.25 if term.kind == "word" else place + 0.2


def _spelling(term: Term) -> tuple[str, str, int, int]:
    return (term.kind, term.value, term.nearest, term.farthest)
