"""What a study keeps for readers without the model: which tokens heads looked up, in a circuit that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import HEAD, LOOKED_UP, NEURON, TARGET, planted_corpus, planted_hf, planted_tokenizer

from headtorch.core.analysis.lookup import lookups
from headtorch.core.engine.looked_up import SHADED, shade
from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId
from headtorch.core.settings import Settings
from headtorch.core.study.report import report_of
from headtorch.core.study.shading import ShadedPrompt, from_arrays, to_arrays
from headtorch.core.study.study import Study


@pytest.fixture(scope="module")
def workspace(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("letters")
    for i, document in enumerate(planted_corpus(120)):
        (folder / f"{i:03}.txt").write_text(document.text)
    settings = Settings(
        corpus=str(folder), token_texts=(TARGET,), layers="all", neurons_limit=1, random_neurons=1, context=64
    )
    return Workspace(settings, model=LanguageModel.from_hf(planted_hf(), planted_tokenizer(), name="planted"))


@pytest.fixture(scope="module")
def study(workspace: Workspace) -> Study:
    with Study.create("planted", workspace.settings) as made:
        for _ in run_study(made, workspace):
            pass
    return Study.open("planted")


@pytest.fixture(scope="module")
def shaded(study: Study) -> dict[int, ShadedPrompt]:
    return from_arrays(study.load_arrays(study.state.shaded[NEURON].artefact))


def test_the_planted_head_took_nearly_all_from_the_planted_token(study: Study, shaded: dict[int, ShadedPrompt]) -> None:
    seen = 0
    for i, lit in shaded.items():
        tokens = study.state.prompts[NEURON][i].document_tokens
        if LOOKED_UP in tokens:
            seen += 1
            shares = lit.shares[str(HEAD)]
            assert tokens[int(np.argmax(shares))] == LOOKED_UP and max(shares) > 0.5
    assert seen >= 5


def test_the_shares_are_those_of_the_attribution_token_by_token(
    study: Study, workspace: Workspace, shaded: dict[int, ShadedPrompt]
) -> None:
    for i, lit in list(shaded.items())[:6]:
        prompt = study.state.prompts[NEURON][i]
        [row] = lookups(workspace.model, [workspace.row(prompt.document, prompt.position)], NEURON, HEAD).sources[:, 0]
        size = np.abs(row) / np.abs(row).sum()
        assert lit.shares[str(HEAD)] == pytest.approx(size[-len(prompt.document_tokens) :], abs=1e-4)
        assert lit.first[str(HEAD)] == pytest.approx(size[0], abs=1e-4)


def test_the_last_token_is_as_bright_as_the_prompt_says(study: Study, shaded: dict[int, ShadedPrompt]) -> None:
    for i, lit in shaded.items():
        prompt = study.state.prompts[NEURON][i]
        assert len(lit.activation) == len(prompt.document_tokens)
        assert lit.activation[-1] == pytest.approx(prompt.activation, rel=1e-3)


def test_the_strongest_of_either_half_are_kept_of_next_token_neurons_alone(
    study: Study, workspace: Workspace, shaded: dict[int, ShadedPrompt]
) -> None:
    assert list(study.state.shaded) == [NEURON]
    prompts = study.state.prompts[NEURON]
    for half in ("explain", "score"):
        mine = [i for i in range(len(prompts)) if prompts[i].half == half]
        weakest = min(prompts[i].activation for i in mine if i in shaded)
        assert len([i for i in mine if i in shaded]) == min(SHADED, len(mine))
        assert all(prompts[i].activation <= weakest for i in mine if i not in shaded)
    assert list(shade(study, workspace)) == [], "what is kept is not measured again"


def test_the_report_shows_it_without_the_model(study: Study) -> None:
    [part] = [part for part in report_of(study).neurons if part.found.neuron == NEURON]
    shaded = [prompt for prompt in part.cited if str(HEAD) in prompt.shares and LOOKED_UP in prompt.tokens]
    assert len(shown := shaded[:3]) == 3
    assert all(prompt.tokens[np.argmax(prompt.shares[str(HEAD)])] == LOOKED_UP for prompt in shown)


def test_arrays_of_no_heads_and_of_no_prompts_read_back() -> None:
    bare = ShadedPrompt(index=4, activation=[0.5, 2.0], shares={}, first={})
    assert from_arrays(to_arrays([], [bare])) == {4: bare}
    assert from_arrays(to_arrays([HeadId(0, 1)], [])) == {}
