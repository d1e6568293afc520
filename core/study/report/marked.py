"""A prompt as a line of Markdown: ⟦ ⟧ round the token that the neuron fires on, ‹ › round those that stand out."""

from __future__ import annotations

from collections.abc import Mapping

from headtorch.core.study.report.escape import escaped, escaped_token
from headtorch.core.study.report.parts import CitedPrompt
from headtorch.core.study.report.phrases import number, percent

STRONGEST_TOKENS, EXAMPLE_TOKENS = 60, 24  # shown of a prompt, counted back from where the neuron fires
LIT = 0.45  # of the activation where the neuron fires, from which on a token is marked
OUTSIDE = 0.1  # share from which on the most looked-up token is marked, and what lies outside the kept text is told
AROUND = 3  # tokens shown around one that was looked up further back


def lit_text(prompt: CitedPrompt) -> str:
    """The kept text; marked: tokens on which the neuron is nearly as active as where it fires."""
    most = prompt.lit[-1] if prompt.lit else 0.0
    marked = {i: "" for i, value in enumerate(prompt.lit[:-1]) if most and value / most >= LIT}
    return _line(prompt.tokens, marked, STRONGEST_TOKENS)


def looked_up_text(prompt: CitedPrompt, head: str) -> str:
    """The kept text; marked: the token with the largest share of what the head took, with that share."""
    shares = prompt.shares.get(head)
    if not shares:
        return _line(prompt.tokens, {}, EXAMPLE_TOKENS)
    most = max(range(len(shares)), key=shares.__getitem__)
    marked = {most: f" {percent(shares[most])}"} if shares[most] >= OUTSIDE else {}
    first = prompt.first.get(head, 0.0)
    outside = {"first token": first, "earlier": 1.0 - sum(shares) - first}
    told = ", ".join(f"{percent(share)} {name}" for name, share in outside.items() if share >= OUTSIDE)
    return _line(prompt.tokens, marked, EXAMPLE_TOKENS) + (f" ({told})" if told else "")


def example(prompt: CitedPrompt, head: str) -> str:
    """An item of a list: the text, the token that follows, and the activation."""
    following = "end" if prompt.next_token is None else f"“{escaped_token(prompt.next_token)}”"
    return f"- {looked_up_text(prompt, head)} → {following}, {number(prompt.activation)}"


def _line(tokens: list[str], marked: Mapping[int, str], limit: int) -> str:
    last = len(tokens) - 1
    start = max(0, last + 1 - limit)
    far = [i for i in marked if i < start] if len(marked) == 1 else []
    before = "".join(_token(tokens, i, marked) for place in far for i in range(max(0, place - AROUND), place + 1))
    text = "".join(_token(tokens, i, marked) for i in range(start, last + 1))
    return f"{'… ' if start else ''}{f'{before} … ' if before else ''}{text}"


def _token(tokens: list[str], i: int, marked: Mapping[int, str]) -> str:
    inner = tokens[i].lstrip(" ")
    space = " " * (len(tokens[i]) - len(inner))
    if i == len(tokens) - 1:
        return f"{space}⟦{escaped(inner)}{marked.get(i, '')}⟧"
    return f"{space}‹{escaped(inner)}{marked[i]}›" if i in marked else f"{space}{escaped(inner)}"
