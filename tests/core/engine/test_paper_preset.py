"""A study under `--preset paper`, number by number against the procedure that `benchmarks.paper_method` writes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from benchmarks.paper_method import PaperMethod, active
from headtorch.core.engine.pipeline import STAGES
from headtorch.core.engine.presets import paper_settings
from headtorch.core.engine.workspace import Workspace
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study

LIMIT = 8  # tokens, so that short contexts will do
ASKED = Settings(
    tokens=60_000,
    layers="last:2",
    neurons_limit=12,
    random_neurons=2,
    context=48,
    explain_n=8,
    score_n=4,
    top_k=40,
    prompt_limit=LIMIT,
)
GIVEN = ("layers", "neurons_limit", "context", "explain_n", "score_n", "prompt_limit")
WITHOUT_TEXT = (
    "discover",
    "scan",
    "trim",
    "attribute",
    "contrast",
    "ablate",
)  # stages that explanations need not be for


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return open_model("demo", device="cpu")


@pytest.fixture(scope="module")
def paper(model: LanguageModel) -> PaperMethod:
    return PaperMethod(model.hf, model.facts.d_vocab)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        yield home


def run(name: str, model: LanguageModel, **changed: object) -> Study:
    settings = msgspec.structs.replace(paper_settings(ASKED, given=GIVEN), **changed)
    with Study.create(name, settings) as study:
        workspace = Workspace(settings, model=model)
        for stage in WITHOUT_TEXT:
            for event in STAGES[stage](study, workspace):
                study.append(event)
    return Study.open(name)


@pytest.fixture(scope="module")
def study(home: Path, model: LanguageModel) -> Study:
    return run("paper", model)


@pytest.fixture(scope="module")
def with_own_layer(home: Path, model: LanguageModel, study: Study) -> Study:
    return run("own-layer", model, own_layer=True)


def test_prompts_over_the_limit_are_dropped_and_the_strongest_of_the_others_kept(study: Study) -> None:
    state = study.state
    assert 0 < sum(state.dropped_long.values()) < sum(map(len, state.prompts.values()))
    for neuron, prompts in state.prompts.items():
        halves = [prompt.half for prompt in prompts]
        assert max(halves.count("explain"), halves.count("score")) <= 8
        assert all(prompt.position - prompt.start + 1 < LIMIT for prompt in prompts), neuron
        for half in ("explain", "score"):
            activations = [prompt.full_activation for prompt in prompts if prompt.half == half]
            assert activations == sorted(activations, reverse=True)


@pytest.mark.parametrize("own_layer", [False, True])
def test_labels_are_the_papers_with_and_without_heads_of_the_neurons_own_layer(
    own_layer: bool, study: Study, with_own_layer: Study, paper: PaperMethod
) -> None:
    state = (with_own_layer if own_layer else study).state
    explained = 0
    for neuron in state.activity:
        prompts = state.prompts[neuron]
        scores = [paper.attribution(prompt.token_ids, neuron, own_layer=own_layer) for prompt in prompts]
        labels = np.array([active(one) for one in scores])  # prompt layer head
        explaining = np.array([prompt.half == "explain" for prompt in prompts])
        share = labels[explaining].mean(0)
        expected = {HeadId(int(k), int(i)) for k, i in np.argwhere((share >= 0.25) & (share <= 0.75))}
        found = state.activity[neuron]
        assert {one.head for one in found.heads} == expected, neuron
        for one in found.heads:
            assert one.active == labels[:, one.head.layer, one.head.index].tolist() and not one.suppressing
        assert found.eligible == np.isfinite(scores[0]).sum()
        explained += len(expected)
    assert explained > 5
    with_own = {one.head.layer == n.layer for n, found in state.activity.items() for one in found.heads}
    assert with_own == ({False, True} if own_layer else {False})


def test_every_explained_pair_is_ablated_on_its_held_out_trimmed_prompts(study: Study, paper: PaperMethod) -> None:
    state = study.state
    pairs = [(row.neuron, one) for row in state.next_token_neurons() for one in state.activity[row.neuron].heads]
    assert len(pairs) == len(state.ablations) > 5
    active_means, inactive_means = [], []
    for neuron, one in pairs:
        chosen = [i for i, prompt in enumerate(state.prompts[neuron]) if prompt.half == "score"]
        rows = [state.prompts[neuron][i].token_ids for i in chosen]
        delta_p = changes_of_p(paper, rows, neuron, state.neurons[neuron].token_id, one.head)
        labels = np.array([one.active[i] for i in chosen])
        done = state.ablations[neuron, one.head, "zero-values", "all", ()]
        assert (done.active.n, done.inactive.n) == (labels.sum(), (~labels).sum())
        for group, mean, means in ((done.active, delta_p[labels], active_means),
                                   (done.inactive, delta_p[~labels], inactive_means)):  # fmt: skip
            if len(mean):
                assert group.delta_p == pytest.approx(mean.mean(), abs=1e-5)
                means.append(mean.mean())
            else:
                assert group.delta_p is None
    pooled = state.pooled_ablation
    assert pooled is not None and (pooled.pairs, pooled.replacement, pooled.position) == (
        len(pairs), "zero-values", "all"
    )  # fmt: skip
    np.testing.assert_allclose(sorted(pooled.active), sorted(active_means), atol=1e-5)
    np.testing.assert_allclose(sorted(pooled.inactive), sorted(inactive_means), atol=1e-5)
    test = stats.ks_2samp(pooled.active, pooled.inactive)
    assert (pooled.ks, pooled.ks_p) == (pytest.approx(test.statistic), pytest.approx(test.pvalue))


def changes_of_p(paper: PaperMethod, rows: list[list[int]], neuron: NeuronId, token: int, head: HeadId) -> np.ndarray:
    """p(token) with the head's value vectors at zero − p(token), for each row."""
    clean = np.array([float(paper._read(row).softmax(-1)[token]) for row in rows])
    [[changes], _] = paper.ablate(rows, neuron, token, [head])
    ablated: np.ndarray = clean * np.exp(changes)
    return ablated - clean


def test_mean_direct_is_the_attribution_by_which_heads_are_not_ranked_here(study: Study) -> None:
    state = study.state
    for neuron in list(state.neurons)[:2]:
        arrays = study.load_arrays(state.attributed[neuron].artefact)
        dots, means = arrays["dot"][:, 0].mean(0), state.mean_headlines(neuron)
        for head, summary in state.heads(neuron).items():
            at = (head.layer, head.index)
            assert summary.mean_direct == pytest.approx(arrays["heads"][:, 0].mean(0)[at], rel=1e-5, abs=1e-7)
            assert means[head] == summary.mean_dot == pytest.approx(dots[at], rel=1e-5, abs=1e-7)
            assert np.isnan(arrays["headline"][:, head.layer]).all() == (head.layer == neuron.layer)
        earlier = {head: abs(mean) for head, mean in means.items() if head.layer < neuron.layer}
        assert state.attributed[neuron].top_heads == sorted(earlier, key=earlier.__getitem__, reverse=True)[:5]
