"""The workspace of the planted circuit, and one head taken away on a text and on the corpus."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from planted import HEAD, LOOKED_UP, NEURON, TARGET, TRIGGER, planted_corpus, planted_hf, planted_tokenizer
from tiny_models import tiny_hf, tiny_model, tiny_tokenizer

from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.baselines import baselines
from headtorch.core.analysis.congruence import best_token_neurons
from headtorch.core.analysis.places import HALVES
from headtorch.core.causes import Replacement
from headtorch.core.engine.head_ablation import ablate_on_corpus, ablate_on_text
from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import AddressError, InputError, TokenError
from headtorch.core.events import PromptsFound
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study
from headtorch.core.watch import Watch

SILENT = NeuronId(2, 0)  # made so that it never fires


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("x") / "letters"
    folder.mkdir()
    for number, document in enumerate(one for one in planted_corpus(120) if one.kind != "both"):
        (folder / f"{number:03d}.txt").write_text(document.text)
    hf = planted_hf()
    hf.transformer.h[SILENT.layer].mlp.c_fc.bias.data[SILENT.index] = -100
    model = LanguageModel.from_hf(hf, planted_tokenizer(), name="planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Workspace(Settings(corpus=str(folder), layers="1-2", context=64), model=model)


def test_the_index_is_at_hand_once_it_was_built(workspace: Workspace) -> None:
    fresh = Workspace(workspace.settings, model=workspace.model)
    assert fresh.index_at_hand() is None
    assert fresh.index.blocks_left == 0
    found = Workspace(workspace.settings, model=workspace.model).index_at_hand()
    assert found is not None and found.key == fresh.index.key


def test_the_size_of_an_index_is_said_before_it_is_made_and_not_again(workspace: Workspace) -> None:
    class Noting(Watch):
        def __init__(self) -> None:
            self.said: list[str] = []

        def note(self, text: str, *, minor: bool = False) -> None:
            self.said.append(text)

    watch = Noting()
    settings = msgspec.structs.replace(workspace.settings, seed=5)
    for _ in range(2):
        assert Workspace(settings, model=workspace.model, watch=watch).index.blocks_left == 0
    neurons = 2 * workspace.model.facts.d_mlp
    assert len(watch.said) == 1 and watch.said[0].startswith(f"Indexing {neurons} neurons over ")


def test_an_index_of_other_layers_or_another_k_does_not_open_the_corpus(
    workspace: Workspace,
) -> None:
    assert workspace.index.blocks_left == 0
    for changed in ({"layers": "1"}, {"top_k": 5}):
        other = Workspace(msgspec.structs.replace(workspace.settings, **changed), model=workspace.model)
        assert other.index_at_hand() is None and "corpus" not in vars(other)


def test_the_strongest_places_are_the_trigger_behind_a_looked_up_word(workspace: Workspace) -> None:
    model = workspace.model
    every = workspace.strongest_places(NEURON, 10_000)
    firing = [document for document in planted_corpus(120) if document.kind in ("treaty", "flag")]
    assert len(every) == len(firing)
    for neuron, document, position, window, activation in every:
        row = workspace.row(document, position)
        assert model.token_text(row[-1]) == TRIGGER and neuron == NEURON and activation > 0
        assert row == [int(token) for token in workspace.corpus.windows[window].ids[: len(row)]]
    assert [place[:4] for place in workspace.strongest_places(NEURON, 3)[:3]] == [place[:4] for place in every[:3]]


def test_addresses_and_tokens_are_checked(workspace: Workspace) -> None:
    assert workspace.neurons(["L1.N5", "l2n3"]) == [NeuronId(1, 5), NeuronId(2, 3)]
    for address, said in (("L0.N5", "add its layer with --layers 0"), ("L1.N99", "no neuron"), ("5", "write it like")):
        with pytest.raises(AddressError, match=said):
            workspace.neurons([address])
    assert (
        workspace.target_token(NEURON, None) == workspace.tokens([TARGET])[0] == workspace.target_token(NEURON, TARGET)
    )
    for text in ("", "no such token"):
        with pytest.raises(TokenError):
            workspace.tokens([text])


@pytest.mark.parametrize("replacement", ["zero", "mean"])
def test_taking_the_head_away_on_the_corpus(workspace: Workspace, replacement: Replacement) -> None:
    target = workspace.target_token(NEURON, None)
    found = ablate_on_corpus(workspace, NEURON, HEAD, target, 100, replacement, "last")
    kinds = [document.kind for document in planted_corpus(120)]
    assert (found.active.n, found.inactive.n) == (kinds.count("treaty"), kinds.count("flag"))
    assert found.active.delta_log_p is not None and found.active.delta_log_p < -3
    assert found.inactive.delta_log_p is not None and abs(found.inactive.delta_log_p) < 0.1


def test_taking_the_head_away_on_a_text(workspace: Workspace) -> None:
    row = workspace.model.row(f"Today by{LOOKED_UP} law{TRIGGER}")
    found = ablate_on_text(workspace, row, NEURON, HEAD, workspace.target_token(NEURON, None), "mean", "last")
    assert (found.active.n, found.inactive.n, found.ks) == (1, 0, None)
    assert found.active.delta_log_p is not None and found.active.delta_log_p < -3


def test_a_head_that_cannot_feed_the_neuron_is_refused(workspace: Workspace) -> None:
    for run in (
        lambda: ablate_on_corpus(workspace, NEURON, HeadId(2, 0), 5, 10, "zero", "last"),
        lambda: ablate_on_text(workspace, [0, 5, 6], NEURON, HeadId(2, 0), 5, "zero", "last"),
    ):
        with pytest.raises(AddressError):
            run()


def test_a_neuron_that_never_fires_has_no_prompts_to_take_a_head_away_on(workspace: Workspace) -> None:
    for run in (
        lambda: ablate_on_corpus(workspace, SILENT, HEAD, 5, 10, "zero", "last"),
        lambda: workspace.strongest_places(SILENT, 10),
    ):
        with pytest.raises(InputError, match=r"L2\.N0 never fires on letters; take another neuron"):
            run()


def test_a_gated_neuron_is_looked_at_where_it_fires_with_the_sign_that_promotes_its_token(workspace: Workspace) -> None:
    model, head = tiny_model("llama"), HeadId(1, 2)
    gated = Workspace(Settings(corpus=workspace.settings.corpus, layers="2", context=32, top_k=9), model=model)
    neuron = next(row.neuron for row in best_token_neurons(model, [2]) if row.sign == -1)
    places = gated.strongest_places(neuron, 9)
    lowest = [gated.index.top(neuron, half, -1).activation for half in HALVES]
    assert [place.full_activation for place in places] == [*lowest[0], *lowest[1]] and max(map(max, lowest)) < 0
    rows = [gated.row(place.document, place.position) for place in places]
    base = baselines(model, gated.random_rows, [neuron])
    score = attribute(model, rows, [neuron] * len(rows)).headline[:, head.layer, head.index]
    below = -(score - base.mean[0, head.layer, head.index]) > 2 * base.sd[0, head.layer, head.index]
    found = ablate_on_corpus(gated, neuron, head, gated.target_token(neuron, None), 9, "zero", "last")
    assert (found.active.n, found.inactive.n) == (below.sum(), (~below).sum())


def test_in_bfloat16_commands_and_studies_take_their_prompts_by_fp32_activations(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path))
    hf = tiny_hf("llama").to(torch.bfloat16)
    exact = LanguageModel.from_hf(copy.deepcopy(hf).float(), tiny_tokenizer(), name="exact")
    settings = Settings(
        corpus=workspace.settings.corpus, layers="2", context=32, top_k=9, neurons_limit=1, random_neurons=0
    )
    reduced = Workspace(settings, model=LanguageModel.from_hf(hf, tiny_tokenizer(), name="reduced"))

    def activation(neuron: NeuronId, row: list[int]) -> float:
        return float(exact.mlp_activations(torch.tensor([row]), [2])[2][0, -1, neuron.index])

    with Study.create("reduced", settings) as study:
        for event in run_study(study, reduced):
            if isinstance(event, PromptsFound):
                break
    found = [(one, one.full_activation) for one in event.prompts]
    found += [(one, one.full_activation) for one in reduced.strongest_places(NeuronId(2, 11), 5)]
    assert len(found) > 12
    for one, said in found:
        assert said == pytest.approx(activation(one.neuron, reduced.row(one.document, one.position)), rel=1e-4)
