"""Ablation whole, cooperation and spectrum on a corpus whose circuit is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import HEAD, LOOKED_UP, NEURON, SECOND_HEAD, TARGET, TRIGGER, planted_corpus, planted_hf, planted_tokenizer
from tiny_models import tiny_model

from headtorch.core.analysis.effects import effects
from headtorch.core.engine.head_ablation import More, ablate_on_corpus, ablate_on_text, stand_ins
from headtorch.core.engine.mechanism import cooperation_on_corpus, spectrum_on_corpus, variety_on_corpus
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import AddressError, InputError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings


@pytest.fixture(scope="module")
def workspace(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("letters")
    for i, document in enumerate(planted_corpus(120)):
        (folder / f"{i:03}.txt").write_text(document.text)
    model = LanguageModel.from_hf(planted_hf(), planted_tokenizer(), name="planted")
    return Workspace(Settings(corpus=str(folder), layers="1", context=64, top_k=100), model=model)


def target(workspace: Workspace) -> int:
    return workspace.tokens([TARGET])[0]


def test_the_ablation_of_the_planted_head_is_told_from_that_of_control_heads(workspace: Workspace) -> None:
    more = More(mediation=True, self_repair=True, neuron_ablation=True)
    found = ablate_on_corpus(workspace, NEURON, HEAD, target(workspace), 24, "resample", "last", more)
    assert found.donors == 4 and found.active.delta_log_p is not None and found.active.delta_log_p < -2
    assert found.p is not None and found.p < 0.01 and found.controlled_p is not None and found.controlled_p < 0.01
    assert len(found.controls) == 4 and HEAD not in [head for one in found.controls for head in one.heads]
    assert all(one.active is not None and abs(one.active) < 1 for one in found.controls if SECOND_HEAD not in one.heads)
    assert found.points is not None
    assert len(found.points.delta_log_p) == found.active.n + found.inactive.n
    drawn = np.array(found.points.delta_log_p)[np.array(found.points.active)]
    assert drawn.mean() == pytest.approx(found.active.delta_log_p, abs=1e-3)
    assert found.mediation_active is not None and found.mediation_active.share is not None
    assert found.mediation_active.share > 0.8 and found.mediation_active.total == pytest.approx(
        found.active.delta_log_p
    )
    assert found.repair_active is not None and abs(found.repair_active.direct_logit) < 0.5
    assert found.silenced is not None and found.silenced.active.delta_log_p is not None
    assert found.silenced.active.delta_log_p < -2 and found.silenced.inactive.delta_log_p is not None


def test_heads_are_taken_away_together(workspace: Workspace) -> None:
    row = workspace.model.row(f"Today by{LOOKED_UP} banner law{TRIGGER}")
    ask = (workspace, row, NEURON, HEAD, target(workspace), "zero", "last")
    alone, both = ablate_on_text(*ask), ablate_on_text(*ask, More(together=(SECOND_HEAD,)))
    assert alone.active.delta_log_p is not None and both.active.delta_log_p is not None
    assert alone.active.delta_log_p > -0.5 and both.active.delta_log_p < -5
    assert both.together == [SECOND_HEAD] and both.controls == []


def test_what_cannot_be_asked_of_an_ablation_is_refused(workspace: Workspace) -> None:
    row = workspace.model.row(f"Today by{LOOKED_UP} law{TRIGGER}")
    token = target(workspace)
    with pytest.raises(InputError, match="named twice"):
        ablate_on_text(workspace, row, NEURON, HEAD, token, "zero", "last", More(together=(HEAD,)))
    with pytest.raises(InputError, match="use --position last"):
        ablate_on_text(workspace, row, NEURON, HEAD, token, "zero", "all", More(mediation=True))
    with pytest.raises(InputError, match="last position alone"):
        ablate_on_corpus(workspace, NEURON, HEAD, token, 5, "resample", "all")
    with pytest.raises(AddressError, match="cannot feed"):
        ablate_on_text(workspace, row, NEURON, HEAD, token, "zero", "last", More(together=(HeadId(2, 0),)))


def test_the_two_planted_heads_are_the_strongest_and_stand_for_different_contexts(workspace: Workspace) -> None:
    found = cooperation_on_corpus(workspace, NEURON, target(workspace), count=2, top=12)
    pre = found.synergies[0]
    assert pre.quantity == "pre_activation" and {one.head for one in pre.heads} == {HEAD, SECOND_HEAD}
    halves = [workspace.corpus.half(place.document) for place in workspace.strongest_places(NEURON, 12)]
    assert found.n == halves.count("score")
    assert found.variety == variety_on_corpus(workspace, NEURON) and found.variety is not None
    named = cooperation_on_corpus(workspace, NEURON, target(workspace), [HEAD, SECOND_HEAD], top=12)
    assert named.n == len(halves) and [one.head for one in named.synergies[0].heads] == [HEAD, SECOND_HEAD]


def test_one_head_cannot_cooperate(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="at least two heads"):
        cooperation_on_corpus(workspace, NEURON, target(workspace), [HEAD], top=5)
    with pytest.raises(AddressError, match="cannot feed"):
        cooperation_on_corpus(workspace, NEURON, target(workspace), [HEAD, HeadId(2, 0)], top=5)


def test_the_spectrum_covers_the_bins_and_its_last_point_is_the_strongest_prompts(workspace: Workspace) -> None:
    found = spectrum_on_corpus(workspace, NEURON, [HEAD], per_bin=6, replacement="zero")
    assert len(found.bins) == workspace.index.n_bins + 1 and found.bins[-1].low is None
    for one in found.bins[1:-2]:  # the outer bins hold what lies beyond them
        assert (
            one.activation is None
            or one.low is None
            or one.high is None
            or one.low - 1e-4 <= one.activation <= one.high + 1e-4
        )
    every = workspace.strongest_places(NEURON, 6)
    places = sorted(every, key=lambda place: -place.full_activation)[: found.bins[-1].n]
    rows = [workspace.row(place.document, place.position) for place in places]
    exact = effects(workspace.model, rows, [NEURON] * len(rows), stand_ins(workspace, "zero"))
    assert found.bins[-1].n == 6
    assert found.curves[0].activation[-1] == pytest.approx(exact.activation[:, HEAD.layer, HEAD.index].mean(), abs=1e-4)
    assert {one.head for one in spectrum_on_corpus(workspace, NEURON, count=2).curves} == {HEAD, SECOND_HEAD}


def test_the_spectrum_of_a_gated_neuron_has_both_signs(workspace: Workspace) -> None:
    gated = Workspace(
        Settings(corpus=workspace.settings.corpus, layers="2", context=32, top_k=9), model=tiny_model("llama")
    )
    found = spectrum_on_corpus(gated, NeuronId(2, 7), count=1, per_bin=4, replacement="zero")
    first, last = found.bins[0], found.bins[-1]
    assert (first.strongest, last.strongest) == (-1, 1) and (first.n, last.n) == (4, 4)
    assert first.activation is not None and last.activation is not None and first.activation < 0 < last.activation
