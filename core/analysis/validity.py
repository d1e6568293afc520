"""Does a neuron predict its token? Congruence says what the neuron would promote; the corpus says what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headtorch.core.analysis.ablation import ablate_neuron
from headtorch.core.analysis.batching import length_batches, pad_rows, pass_tokens
from headtorch.core.analysis.congruence import Unembedding, output_weights
from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.ranking import Ranking
from headtorch.core.analysis.statistics import auroc, odds_ratio
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import Interval, NextTokenNeuron, Validity
from headtorch.core.watch import SILENT, Watch

TOP = 60  # strongest places, both halves together, looked at for what follows
PROBED = 20  # of them, the places where logit and ablation are measured
OCCURRENCES = 64  # places before the token, and as many random ones, for the AUROC
MIN_SHARE, MIN_ODDS_RATIO, MIN_ODDS_LOW = 0.5, 20.0, 5.0  # from which a neuron counts as valid

Rows = list[list[int]]


class Validator:
    """Measures `Validity` of neurons of one model on one corpus; what neurons share is computed once."""

    def __init__(
        self,
        model: LanguageModel,
        corpus: TokenizedCorpus,
        index: ActivationIndex,
        *,
        ranking: Ranking | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.corpus = corpus
        self.index = index
        self.ranking = ranking or Ranking(model, corpus, index)
        self.seed = seed

    def prepare(self, layer: int, watch: Watch = SILENT) -> None:
        """Compute what neurons of a layer share, which `measure` does otherwise when it is first needed."""
        self._unembedding  # noqa: B018 (makes it)
        self._random_activations(layer, watch)

    def measure(self, row: NextTokenNeuron, *, watch: Watch = SILENT) -> Validity | None:
        """What follows where the neuron fires most, and what it does to its token there; None if it never fires."""
        places = self._top_places(row)
        if not places:
            return None
        following = [token for place in places if (token := self._next_token(*place)) is not None]
        hits = sum(token == row.token_id for token in following)
        share = hits / len(following) if following else 0.0
        occurrences = self._occurrences(row.token_id)
        base = occurrences / self.corpus.n_tokens
        odds = odds_ratio(hits, len(following), occurrences, self.corpus.n_tokens)
        rows = [context_row(self.corpus, *place) for place in places[:PROBED]]
        change = ablate_neuron(self.model, rows, row.neuron, row.token_id, watch=watch)
        how_well = self._auroc(row, watch)
        return Validity(
            neuron=row.neuron,
            token_id=row.token_id,
            n=len(following),
            next_share=share,
            base_rate=base,
            lift=share / base if base > 0 else 0.0,
            auroc=how_well,
            logit_attribution=self._logit_attribution(row, rows, change.before.activation, watch),
            ablation_log_p=float(change.delta_log_p.mean()),
            valid=is_valid(share, odds),
            odds_ratio=odds[0] if odds else None,
            odds_low=odds[1].low if odds else None,
            odds_high=odds[1].high if odds else None,
        )

    def _top_places(self, row: NextTokenNeuron) -> list[tuple[int, int]]:
        """(document, position) of the TOP strongest firings, strongest first, without places where it is silent."""
        found = []
        for half in ("explain", "score"):
            top = self.ranking.top(row.neuron, half, row.sign, k=TOP)
            found += [
                (-row.sign * float(activation), int(document), int(position))
                for activation, document, position in zip(top.activation, top.document, top.position, strict=True)
                if activation * row.sign > 0
            ]
        return [(document, position) for _, document, position in sorted(found)[:TOP]]

    def _next_token(self, document: int, position: int) -> int | None:
        ids = self.corpus.document_ids(document)
        return int(ids[position + 1]) if position + 1 < len(ids) else None

    def _occurrences(self, token: int) -> int:
        counts = self.corpus.token_counts
        return int(counts[token]) if token < len(counts) else 0

    def _logit_attribution(
        self, row: NextTokenNeuron, rows: Rows, activation: NDArray[np.float64], watch: Watch
    ) -> float | None:
        """Mean of a·⟨w_out, u_t⟩/σ_final over the rows' ends; None where a norm stands between MLP and stream."""
        if self.model.facts.post_norm:
            return None
        weights = output_weights(self.model, row.neuron.layer)[row.neuron.index]
        congruence = float(weights @ self._unembedding.columns([row.token_id])[:, 0])
        scales = final_scales(self.model, rows, watch)
        return float((activation * congruence / scales).mean())

    def _auroc(self, row: NextTokenNeuron, watch: Watch) -> float | None:
        """How well s·activation tells places before the token from random places that it does not follow."""
        before = self._places_before(row.token_id)
        if not before or not self._random_places:
            return None
        random = [
            i for i, place in enumerate(self._random_places) if self._next_token(*place) not in (None, row.token_id)
        ]
        layer, index = row.neuron.layer, row.neuron.index
        positive = self._activations(before, layer, watch)[:, index]
        negative = self._random_activations(layer, watch)[random, index]
        scores = row.sign * np.concatenate([positive, negative])
        return auroc(scores, np.arange(len(scores)) < len(positive))

    def _places_before(self, token: int) -> list[tuple[int, int]]:
        """Up to OCCURRENCES places that the token follows, drawn evenly from all of them."""
        if token not in self._before:
            found = [
                (document, int(position) - 1)
                for document in range(len(self.corpus))
                for position in np.flatnonzero(self.corpus.document_ids(document) == token)
                if position >= 2
            ]
            drawn = np.random.default_rng([self.seed, token]).permutation(len(found))[:OCCURRENCES]
            self._before[token] = [found[i] for i in sorted(drawn.tolist())]
        return self._before[token]

    @cached_property
    def _before(self) -> dict[int, list[tuple[int, int]]]:
        return {}

    @cached_property
    def _unembedding(self) -> Unembedding:
        return Unembedding(self.model)

    @cached_property
    def _random_places(self) -> list[tuple[int, int]]:
        places = self.index.random_positions()
        pairs = list(zip(places.document.tolist(), places.position.tolist(), strict=True))
        drawn = np.random.default_rng(self.seed).permutation(len(pairs))[: 2 * OCCURRENCES]
        return [pairs[i] for i in sorted(drawn.tolist())]

    @cached_property
    def _of_layer(self) -> dict[int, NDArray[np.float32]]:
        return {}

    def _random_activations(self, layer: int, watch: Watch) -> NDArray[np.float32]:
        if layer not in self._of_layer:
            self._of_layer[layer] = self._activations(self._random_places, layer, watch)
        return self._of_layer[layer]

    def _activations(self, places: Sequence[tuple[int, int]], layer: int, watch: Watch) -> NDArray[np.float32]:
        """Activations of the whole layer at the places, [place, neuron]."""
        return end_activations(self.model, [context_row(self.corpus, *place) for place in places], layer, watch)


def is_valid(next_share: float, odds: tuple[float, Interval] | None) -> bool:
    """Whether the token follows often enough, and surely more often than by chance.

    P(next = t) ≥ MIN_SHARE, its odds at least MIN_ODDS_RATIO times those in the corpus, with a lower end of at least
    MIN_ODDS_LOW. Odds and not shares, of which a token of base rate 6 % can have 17 times as much at most.
    """
    if odds is None:
        return False
    ratio, interval = odds
    return next_share >= MIN_SHARE and ratio >= MIN_ODDS_RATIO and interval.low >= MIN_ODDS_LOW


def context_row(corpus: TokenizedCorpus, document: int, position: int) -> list[int]:
    """The full context of a place: the row of its window up to `position`."""
    window = corpus.windows[corpus.windows.index_of(document, position)]
    return [int(token) for token in window.ids[: position - window.start + 2]]


def end_activations(model: LanguageModel, rows: Rows, layer: int, watch: Watch = SILENT) -> NDArray[np.float32]:
    """Activations of every neuron of the layer at the last position of each row, [row, neuron]."""
    found = np.zeros((len(rows), model.facts.d_mlp), dtype=np.float32)
    for batch in length_batches([len(row) for row in rows], pass_tokens(model.device)):
        watch.checkpoint()
        chosen = [rows[i] for i in batch]
        padded = pad_rows(chosen, max(map(len, chosen)), model.device)
        ends = torch.tensor([len(row) - 1 for row in chosen], device=model.device)
        activations = model.mlp_activations(padded, [layer])[layer]  # row position neuron
        found[batch] = activations[torch.arange(len(chosen)), ends].float().cpu().numpy()
    return found


def final_scales(model: LanguageModel, rows: Rows, watch: Watch = SILENT) -> NDArray[np.float64]:
    """σ of the final norm at the last position of each row, [row]. No logits are made."""
    found = np.ones(len(rows))
    read: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read.append(inputs[0])
        raise _FinalResidualRead

    for batch in length_batches([len(row) for row in rows], pass_tokens(model.device)):
        watch.checkpoint()
        chosen = [rows[i] for i in batch]
        ends = torch.tensor([len(row) - 1 for row in chosen], device=model.device)
        handle = model.final_norm.register_forward_pre_hook(keep)  # not while the watch is asked
        try:
            model.logits(pad_rows(chosen, max(map(len, chosen)), model.device))
        except _FinalResidualRead:
            pass
        finally:
            handle.remove()
        residual = read.pop()[torch.arange(len(chosen)), ends]  # row d_model
        found[batch] = model.final_scale(residual.float()).double().cpu().numpy()
    return found


class _FinalResidualRead(Exception):
    """The final norm has been reached: the rest of the forward pass is not needed."""
