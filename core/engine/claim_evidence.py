"""What claims about one neuron are learned on and tested on, each part made once for all of its claims."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from headtorch.core.analysis.likely_tokens import LikelyTokens
from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.engine.workspace import Workspace
from headtorch.core.explain.ceiling import TextKernel
from headtorch.core.explain.rule import Rule
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.study.claim_places import SHOWN
from headtorch.core.study.study import Study

Ints = Int[np.ndarray, " place"]


class Evidence:
    """A neuron's places and texts, and what its chosen heads do on the firing places."""

    def __init__(self, study: Study, workspace: Workspace, rows: ClaimRows, neuron: NeuronId) -> None:
        self.neuron, self.rows, self.workspace = neuron, rows, workspace
        self.sign = study.state.neurons[neuron].sign
        self.token = study.state.neurons[neuron].token
        self.seed = study.settings.seed
        self.places = rows.places[neuron]
        chosen = study.state.claim_heads.get(neuron)
        self.heads: list[HeadId] = [one.head for one in chosen.heads] if chosen else []
        self._arrays = study.load_arrays(chosen.artefact) if chosen else {}

    @cached_property
    def texts(self) -> list[tuple[str, ...]]:
        """Of every place the document's last tokens up to it: what rules read, judges see and prompts show."""
        return [self.places.text(place, SHOWN) for place in range(len(self.places))]

    def texts_at(self, places: Ints) -> list[tuple[str, ...]]:
        """The texts of these places."""
        return [self.texts[place] for place in places.tolist()]

    def clusters(self, places: Ints) -> Ints:
        """Their clusters of documents."""
        clusters: Ints = self.places.cluster[places]
        return clusters

    @cached_property
    def train(self) -> Ints:
        """The firing places of the training split."""
        return self.rows.firing(self.neuron, held_out=False)

    @cached_property
    def held_out(self) -> Ints:
        """The firing places of the held-out split."""
        return self.rows.firing(self.neuron, held_out=True)

    @cached_property
    def activation(self) -> Float[np.ndarray, " place"]:
        """Of all places."""
        return self.places.activation.astype(np.float64)

    def effect(self, head: HeadId) -> Float[np.ndarray, " place"]:
        """e(h) on the firing places, in their order."""
        return np.asarray(self._arrays["effect"][:, self.heads.index(head)], np.float64)

    def attribution(self, head: HeadId) -> Float[np.ndarray, " place"]:
        """A(h) on the firing places, in their order."""
        return np.asarray(self._arrays["attribution"][:, self.heads.index(head)], np.float64)

    def active(self, head: HeadId) -> Bool[np.ndarray, " place"]:
        """The head's labels on the firing places, in their order."""
        return np.asarray(self._arrays["active"][:, self.heads.index(head)], bool)

    @cached_property
    def kernel(self) -> TextKernel:
        """Similarities of the texts of the firing places."""
        return TextKernel(self.texts_at(self.train), self.texts_at(self.held_out))

    @cached_property
    def held_out_rows(self) -> list[list[int]]:
        """Token ids up to each held-out firing place."""
        return [self.places.ids(place).tolist() for place in self.held_out.tolist()]

    @cached_property
    def likely(self) -> LikelyTokens:
        """What the model finds likely in `held_out_rows`."""
        return LikelyTokens(self.workspace.model, self.held_out_rows)

    def holds(self, rule: Rule, places: Ints) -> Bool[np.ndarray, " place"]:
        """Whether the rule holds at these places."""
        return np.array([rule.judges(text) for text in self.texts_at(places)], bool)

    def last_tokens(self, places: Ints) -> Ints:
        """The token at each of these places."""
        return np.array([int(self.places.ids(place)[-1]) for place in places.tolist()], np.int64)
