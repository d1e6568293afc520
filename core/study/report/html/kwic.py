"""A prompt as a line of runs: equally lit tokens together, the firing token last, what was looked up marked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby

from headtorch.core.records import Record
from headtorch.core.study.report.parts import CitedPrompt
from headtorch.core.text import visible, visible_token

STEPS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.75)  # a share, or a part of the firing token's activation, from which on
STRONGEST_TOKENS, EXAMPLE_TOKENS = 28, 16  # shown of a prompt, counted back from where the neuron fires
MARKED = 0.1  # share from which on the most looked-up token is marked
OUTSIDE = 0.1  # share from outside the kept text, from which on it is said
AROUND = 3  # tokens shown around one that was looked up further back


class Run(Record, frozen=True, kw_only=True):
    """Tokens of one step; `mark` is the share in percent of the token that was looked up most."""

    text: str
    step: int = 0
    mark: int | None = None


class Line(Record, frozen=True, kw_only=True):
    """A prompt before its firing token, that token with its own step, and shares from outside the kept text."""

    runs: list[Run]
    firing: Run
    first: int | None = None  # percent, from the model's own first token
    earlier: int | None = None  # percent, from the text before


def activation_line(prompt: CitedPrompt) -> Line:
    """Each token as bright as the neuron's activation on it, against that on the firing token."""
    most = max((abs(value) for value in prompt.lit[-1:]), default=0.0)
    lit = [max(0.0, value / prompt.lit[-1]) if most else 0.0 for value in prompt.lit]
    return _line(prompt.tokens, lit, None, STRONGEST_TOKENS)


def head_line(prompt: CitedPrompt, head: str) -> Line:
    """Each token as bright as its share of what the head took; the most looked-up one is marked."""
    shares = prompt.shares.get(head)
    if shares is None:
        return plain_line(prompt)
    most = max(range(len(shares)), key=shares.__getitem__, default=0)
    first = prompt.first.get(head, 0.0)
    earlier = 1.0 - sum(shares) - first
    line = _line(prompt.tokens, shares, most if shares[most] >= MARKED else None, EXAMPLE_TOKENS)
    return Line(runs=line.runs, firing=line.firing, first=_outside(first), earlier=_outside(earlier))


def plain_line(prompt: CitedPrompt) -> Line:
    """Without shades."""
    return _line(prompt.tokens, (), None, EXAMPLE_TOKENS)


def _outside(share: float) -> int | None:
    return round(100 * share) if share >= OUTSIDE else None


def _line(tokens: Sequence[str], values: Sequence[float], most: int | None, limit: int) -> Line:
    steps = [bisect_right(STEPS, value) for value in values] or [0] * len(tokens)
    made = [
        Run(text=visible(token), step=step, mark=round(100 * values[i]) if i == most else None)
        for i, (token, step) in enumerate(zip(tokens, steps, strict=True))
    ]
    last = len(made) - 1
    start = max(0, last + 1 - limit)
    shown = made[start:last]
    if start and most is not None and most < start:
        far = made[max(0, most - AROUND) : most + 1 + AROUND]
        shown = [*far, Run(text=" … "), *shown]
    if start:
        shown = [Run(text="… "), *shown]
    space, firing = _without_space(made[last]) if made else ([], Run(text=""))
    return Line(runs=_merged([*(part for run in shown for part in _apart(run)), *space]), firing=firing)


def _apart(run: Run) -> list[Run]:
    """The space in front of a shaded word is no part of the shade."""
    if not run.step:
        return [run]
    space, rest = _without_space(run)
    return [*space, rest]


def _without_space(run: Run) -> tuple[list[Run], Run]:
    inner = run.text.lstrip(" ")
    if not inner:
        return [], Run(text=visible_token(run.text), step=run.step, mark=run.mark)
    space = run.text[: len(run.text) - len(inner)]
    return [Run(text=space)] if space else [], Run(text=inner, step=run.step, mark=run.mark)


def _merged(runs: Sequence[Run]) -> list[Run]:
    """Neighbours of one step as one run: a long quiet stretch is plain text."""
    found: list[Run] = []
    for (step, marked), group in groupby(_spaces_shaded(runs), key=lambda run: (run.step, run.mark is not None)):
        members = list(group)
        found += members if marked else [Run(text="".join(run.text for run in members), step=step)]
    return found


def _spaces_shaded(runs: Sequence[Run]) -> list[Run]:
    """A space between two words of one shade has it too."""
    around = zip([Run(text=""), *runs], runs, [*runs[1:], Run(text="")], strict=False)
    return [
        Run(text=run.text, step=before.step) if run.text == " " and not run.step and before.step == after.step else run
        for before, run, after in around
    ]
