"""Go to a neuron, a head or a token by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from headtorch.core.errors import AddressError, TokenError
from headtorch.core.format import signed
from headtorch.core.records import HeadId, ModelFacts, NeuronId
from headtorch.core.text import visible_token
from headtorch.tui.screens.prompt_line import LineScreen, Suggestion
from headtorch.tui.session import Session

Target: TypeAlias = NeuronId | HeadId | str
PER_KIND = 3  # suggestions of neurons, of heads and of tokens
_QUOTES = {'"': '"', "'": "'", "“": "”"}


class GoToScreen(LineScreen[Target]):
    """Returns what the user named: a neuron, a head, or the text of a token."""

    def __init__(self, session: Session) -> None:
        super().__init__("go to :", placeholder="a neuron (L3.N412), a head (L2.H4) or a token (·an)")
        self._known = known_places(session)
        self._facts = session.state.model

    def read_line(self, text: str) -> Target:
        """Raises InputError for what the model has not."""
        return read_target(text, self._facts)

    def suggest(self, text: str) -> list[Suggestion]:
        """What begins with the text first, then what holds it."""
        return [one for kind in self._known for one in _matching(kind, text)]


def read_target(text: str, facts: ModelFacts | None) -> Target:
    """Read "L3.N412", "L2.H4", "·an" or '" an"'; anything that is no address is a token.

    Raises:
        AddressError: the model has no such neuron or head, or the address is half written.
        TokenError: there is no text.
    """
    text = text.strip()
    if re.fullmatch(r"[Ll]\d+\.?[Nn]\d+", text):
        return _inside(NeuronId.parse(text), facts)
    if re.fullmatch(r"[Ll]\d+\.?[Hh]\d+", text):
        return _inside(HeadId.parse(text), facts)
    if found := re.fullmatch(r"[Ll](\d+)\.?[NnHh]?", text):
        layer = f"L{found[1]}"
        raise AddressError(
            f'Write {layer}.N0 for a neuron, {layer}.H0 for a head, or "{text}" in quotes for the token.'
        )
    token = token_text(text)
    if not token:
        raise TokenError("Write a neuron (L3.N412), a head (L2.H4) or a token (·an).")
    return token


def token_text(text: str) -> str:
    """The token that a reader wrote: in quotes as it stands, else with · for a space at either end."""
    if len(text) >= 2 and _QUOTES.get(text[0]) == text[-1]:
        return text[1:-1]
    inner = text.strip("·")
    if not inner:
        return " " * len(text)
    return " " * (len(text) - len(text.lstrip("·"))) + inner + " " * (len(text) - len(text.rstrip("·")))


def known_places(session: Session) -> tuple[list[Suggestion], list[Suggestion], list[Suggestion]]:
    """The study's neurons, the heads of the selected neuron by strength, and the study's tokens."""
    rows = {**session.state.visited, **session.state.neurons}
    about = {row.neuron: f"{visible_token(row.token)}  {'random' if row.random else row.kind}" for row in rows.values()}
    chosen = session.selection.neuron
    neurons = sorted(about, key=lambda neuron: neuron != chosen)
    counts: dict[str, int] = {}
    for row in rows.values():
        counts[row.token] = counts.get(row.token, 0) + (not row.random)
    tokens = [
        Suggestion(visible_token(token), f"promoted by {count} neuron{'s' * (count != 1)}")
        for token, count in counts.items()
        if count
    ]
    return [Suggestion(str(neuron), about[neuron]) for neuron in neurons], _heads(session), tokens


def _heads(session: Session) -> list[Suggestion]:
    neuron = session.selection.neuron
    means = session.state.mean_headlines(neuron) if neuron is not None else {}
    ranked = sorted(means, key=lambda head: -abs(means[head]))
    return [Suggestion(str(head), f"gives {signed(means[head])} to {neuron}") for head in ranked]


def _matching(known: Iterable[Suggestion], text: str) -> list[Suggestion]:
    wanted = text.strip().lower()
    found = [one for one in known if wanted in f"{one.text}  {one.about.split('  ')[0]}".lower()]
    exact = [one for one in found if one.text.lower() == wanted]
    return [] if exact else sorted(found, key=lambda one: not one.text.lower().startswith(wanted))[:PER_KIND]


def _inside(address: NeuronId | HeadId, facts: ModelFacts | None) -> NeuronId | HeadId:
    if facts is None:
        return address
    what, count = ("neuron", facts.d_mlp) if isinstance(address, NeuronId) else ("head", facts.n_heads)
    if address.layer >= facts.n_layers:
        raise AddressError(f"{facts.name} has no layer {address.layer}; its layers are 0 to {facts.n_layers - 1}.")
    if address.index >= count:
        raise AddressError(f"{facts.name} has no {what} {address.index} in a layer; they are 0 to {count - 1}.")
    return address
