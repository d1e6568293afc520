"""Which tokens of a text make a rule hold, and whether a rule is about context at all."""

from __future__ import annotations

from collections.abc import Sequence

from headtorch.core.explain.rule import OPENERS, Rule, Term, in_window


def named_tokens(rule: Rule, tokens: Sequence[str]) -> list[int]:
    """Indices in the text, ascending, of the tokens that satisfy the rule's non-negated terms."""
    return sorted({index for term in rule.terms if not term.negated for index in term_positions(term, tokens)})


def is_about_last_token(rule: Rule) -> bool:
    """Whether no term looks at a token before the last one: such a rule claims nothing about context."""
    return not any(_looks_back(term) for term in rule.terms)


def needs_insertion(rule: Rule) -> bool:
    """Whether the rule is one of absence: its terms that look back are all negated, and only a token put in helps."""
    looking_back = [term for term in rule.terms if _looks_back(term)]
    return bool(looking_back) and all(term.negated for term in looking_back)


def term_positions(term: Term, tokens: Sequence[str]) -> list[int]:
    """Indices of the tokens that satisfy a term, its negation left aside; none where it does not hold."""
    if term.kind == "repeat":
        return _repeats(tokens, term.farthest)
    if term.kind == "inside":
        return _open_marks(tokens, term.value)
    if term.kind == "short":
        return []
    return [i for i in in_window(term, tokens) if term.matches(tokens, i)]


def _looks_back(term: Term) -> bool:
    return term.kind != "short" and (term.kind in ("repeat", "inside") or term.farthest != 1)


def _repeats(tokens: Sequence[str], n: int) -> list[int]:
    """All tokens of the earlier occurrences of the last n tokens."""
    last = tuple(tokens[-n:])
    starts = [i for i in range(len(tokens) - n) if tuple(tokens[i : i + n]) == last] if n else []
    return sorted({i + offset for i in starts for offset in range(n)})


def _open_marks(tokens: Sequence[str], kind: str) -> list[int]:
    """The tokens with the opening marks that are not closed at the end; of plain quotes the last one."""
    opening, closing = OPENERS.get(kind, ("", ""))
    opened: list[int] = []
    for i, token in enumerate(tokens):
        for character in token:
            if kind == "quotes" and character == '"':
                opened = [] if opened else [i]
            elif character in opening:
                opened.append(i)
            elif character in closing and opened:
                opened.pop()
    return sorted(set(opened))
