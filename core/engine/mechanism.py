"""A neuron's heads together, and over all its activations, on the corpus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.cooperation import cooperation, random_pairs, strongest_heads
from headtorch.core.analysis.effects import Effects, effects
from headtorch.core.analysis.lookup import check_feeds
from headtorch.core.analysis.replacements import Replacements, check_replacement
from headtorch.core.analysis.selection_null import context_variety
from headtorch.core.analysis.spectrum import PER_BIN, binned_places, spectrum_record
from headtorch.core.analysis.trim import Place
from headtorch.core.causes import ContextVariety, Cooperation, Replacement, Spectrum, Where
from headtorch.core.engine.head_ablation import stand_ins
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError
from headtorch.core.records import HeadId, NeuronId


def cooperation_on_corpus(
    workspace: Workspace,
    neuron: NeuronId,
    token_id: int,
    heads: Sequence[HeadId] = (),
    *,
    count: int = 4,
    top: int = 20,
    replacement: Replacement = "resample",
) -> Cooperation:
    """Joint ablation and synergies of `heads`, by default of the `count` strongest, on the neuron's `top` prompts.

    The strongest are those with the largest mean effect on the pre-activation (gated: activation) over the prompts of
    the explaining half. They are measured on those of the scoring half: where they were chosen they look too strong.
    Heads that are named are measured on both halves.

    Raises:
        AddressError: a head that cannot feed the neuron.
        InputError: a neuron that never fires, or fewer than two heads.
    """
    model, seed = workspace.model, workspace.settings.seed
    for head in heads:
        check_feeds(model, head, neuron)
    by = stand_ins(workspace, replacement)
    places = workspace.strongest_places(neuron, top)
    measured = places
    if heads:
        chosen = list(dict.fromkeys(heads))
        ranked = _ranking_effects(workspace, neuron, places, by)
    else:
        choosing, measured = _halves(workspace, places)
        ranked = _ranking_effects(workspace, neuron, choosing, by)
        chosen = strongest_heads(ranked, count)
    if len(chosen) < 2:
        raise InputError(f"{len(chosen)} of the heads that feed {neuron} cannot cooperate; take at least two heads.")
    synergies = cooperation(
        model,
        _rows(workspace, measured),
        neuron,
        token_id,
        chosen,
        by,
        others=random_pairs(ranked, chosen, seed=seed),
        clusters=[workspace.corpus.cluster(place.document) for place in measured],
        seed=seed,
        watch=workspace.watch,
    )
    return Cooperation(
        neuron=neuron,
        token_id=token_id,
        n=len(measured),
        replacement=replacement,
        donors=by.donors,
        synergies=synergies,
        variety=variety_on_corpus(workspace, neuron),
    )


def variety_on_corpus(workspace: Workspace, neuron: NeuronId) -> ContextVariety | None:
    """Whether different heads are behind the neuron's top, among the random positions of the index."""
    rows, sign = workspace.random_rows, workspace.firing_sign(neuron)
    found = attribute(workspace.model, rows, [neuron] * len(rows), watch=workspace.watch)
    heads = found.direct[:, workspace.model.eligible_heads(neuron.layer)].astype(np.float64)  # row head
    total = found.activation if found.gated else found.pre_activation[:, 0]
    return context_variety(heads, total - heads.sum(1), sign=sign, seed=workspace.settings.seed)


def spectrum_on_corpus(
    workspace: Workspace,
    neuron: NeuronId,
    heads: Sequence[HeadId] = (),
    *,
    count: int = 4,
    per_bin: int = PER_BIN,
    replacement: Replacement = "resample",
    where: Where = "last",
) -> Spectrum:
    """Effects of `heads`, by default of the `count` strongest over all bins, on prompts of every activation bin.

    Raises:
        AddressError: a head that cannot feed the neuron.
        InputError: a neuron that never fires.
    """
    for head in heads:
        check_feeds(workspace.model, head, neuron)
    check_replacement(replacement, where)
    workspace.strongest_places(neuron, 1)  # refuses a neuron that never fires
    signs = (1, -1) if workspace.model.facts.gated else (1,)
    strongest = {sign: _strongest_first(workspace.firings(neuron, per_bin, sign)) for sign in signs}
    binned = binned_places(workspace.index, workspace.corpus.cluster, neuron, strongest, per_bin=per_bin)
    by = stand_ins(workspace, replacement)
    found = _effects(workspace, neuron, binned.places, by, where)
    chosen = list(dict.fromkeys(heads)) or strongest_heads(_headline(workspace, found), count)
    return spectrum_record(
        workspace.index,
        binned,
        found,
        chosen,
        workspace.corpus.cluster,
        signs,
        seed=workspace.settings.seed,
    )


def _strongest_first(places: Sequence[Place]) -> list[Place]:
    """Places of both halves as one list."""
    return sorted(places, key=lambda place: -abs(place.full_activation))


def _halves(workspace: Workspace, places: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    """(explaining, scoring) places; all of them for both where one half has none."""
    explaining = [place for place in places if workspace.corpus.half(place.document) == "explain"]
    scoring = [place for place in places if workspace.corpus.half(place.document) == "score"]
    return (explaining, scoring) if explaining and scoring else (list(places), list(places))


def _ranking_effects(
    workspace: Workspace, neuron: NeuronId, places: Sequence[Place], by: Replacements
) -> np.ndarray:  # float [prompt, layer, head]
    return _headline(workspace, _effects(workspace, neuron, places, by, "last"))


def _headline(workspace: Workspace, found: Effects) -> np.ndarray:  # float [prompt, layer, head]
    return found.activation if workspace.model.facts.gated else found.pre_activation


def _effects(
    workspace: Workspace, neuron: NeuronId, places: Sequence[Place], by: Replacements, where: Where
) -> Effects:
    rows = _rows(workspace, places)
    return effects(workspace.model, rows, [neuron] * len(rows), by, where=where, watch=workspace.watch)


def _rows(workspace: Workspace, places: Sequence[Place]) -> list[list[int]]:
    return [workspace.row(place.document, place.position) for place in places]
