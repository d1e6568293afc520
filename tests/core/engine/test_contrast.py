"""Negatives from lower activation bins: a head that is active on all of a neuron's strongest prompts is explained.

The planted circuit with a weak second pathway: flags fire the neuron half as hard as " treaty" does, so the strongest
prompts all hold " treaty", and the planted head is active on every one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import msgspec
import numpy as np
import pytest
from fake_model import FakeCorpus, FakeModel
from planted import HEAD, LOOKED_UP, NEURON, SECOND_HEAD, TARGET, TRIGGER, WIDTH, planted_corpus, planted_hf
from planted import HEADS as N_HEADS
from planted import planted_tokenizer as tokenizer

from headtorch.core.analysis.lower import lower_prompts
from headtorch.core.analysis.places import HALVES
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.trim import Place, trim
from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import StageFinished, StageStarted
from headtorch.core.explain.rule import Rule
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadActivity, NeuronId, Prompt
from headtorch.core.settings import Settings
from headtorch.core.study.rows import prompt_rows
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

DOCUMENTS = [document for document in planted_corpus(400) if document.kind != "both"]


@cache
def model() -> LanguageModel:
    hf = planted_hf()
    hf.transformer.h[SECOND_HEAD.layer].attn.c_proj.weight.data[SECOND_HEAD.index * (WIDTH // N_HEADS)] *= 0.5
    return LanguageModel.from_hf(hf, tokenizer(), name="planted")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("home")
    folder = home / "letters"
    folder.mkdir()
    for number, document in enumerate(DOCUMENTS):
        (folder / f"{number:03d}.txt").write_text(document.text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        yield Settings(
            model="planted",
            corpus=str(folder),
            token_texts=(TARGET,),
            layers="all",
            neurons_limit=1,
            random_neurons=3,
            context=64,
            score_n=20,
        )


def run(name: str, settings: Settings, until: str | None = None) -> StudyState:
    """A study as an earlier version began it: its heads are labelled on max-activating examples."""
    with Study.create(name, settings) as study:
        study.append(StageStarted(stage="contrast"))
        for event in run_study(study, Workspace(settings, model=model())):
            if isinstance(event, StageFinished) and event.stage == until:
                break
    return Study.open(name).state


@pytest.fixture(scope="module")
def finished(settings: Settings) -> StudyState:
    return run("finished", settings)


def planted(state: StudyState) -> HeadActivity:
    [activity] = [one for one in state.activity[NEURON].heads if one.head == HEAD]
    return activity


def text_before(prompt: Prompt) -> list[str]:
    text = DOCUMENTS[int(prompt.title.removesuffix(".txt"))].text
    return model().token_texts(model().encode(text))[: prompt.position + 1]


def test_the_head_is_active_on_all_of_the_strongest_prompts(finished: StudyState) -> None:
    strongest, activity = finished.prompts[NEURON], planted(finished)
    assert all(LOOKED_UP in text_before(prompt) and prompt.bin is None for prompt in strongest)
    assert activity.active[: len(strongest)] == [True] * len(strongest) and activity.explain_share == 1
    found = finished.activity[NEURON]
    assert found.always_active >= 1 and found.explainable == sum(not one.lower for one in found.heads)
    assert activity.lower == len(found.lower) == len(activity.active) - len(strongest) > 20


def test_lower_prompts_fire_it_less_and_are_labelled_by_what_the_head_does_there(finished: StudyState) -> None:
    strongest, lower = finished.prompts[NEURON], finished.activity[NEURON].lower
    for half in HALVES:
        above = [prompt for prompt in strongest if prompt.half == half]
        below = [prompt for prompt in lower if prompt.half == half]
        assert 0 < len(below) <= 20 and len({prompt.cluster for prompt in below}) == len(below)
        assert max(prompt.full_activation for prompt in below) < min(prompt.full_activation for prompt in above)
        assert all(prompt.bin is not None for prompt in below)
        shortest = min(len(prompt.tokens) for prompt in above)
        assert all(len(prompt.tokens) >= shortest or prompt.start == 0 for prompt in below)
    weak = [prompt for prompt in lower if prompt.full_activation > 0.1]
    assert weak and all(prompt.tokens[-1] == TRIGGER and prompt.kept_ratio >= 0.8 for prompt in weak)
    expected = [prompt.tokens[-1] == TRIGGER and LOOKED_UP in text_before(prompt) for prompt in lower]
    assert planted(finished).active[len(strongest) :] == expected


def test_the_head_is_explained_scored_and_ablated_with_honest_counts(finished: StudyState) -> None:
    said, score = (found[NEURON, HEAD, "rules"] for found in (finished.explanations, finished.scores))
    assert said.rule is not None and f'"{LOOKED_UP}"' in said.text
    assert not Rule.loads(said.rule).judges([" by", " banner", " law", TRIGGER])
    activity = planted(finished)
    labelled = list(zip(finished.labelled_prompts(activity), activity.active, strict=True))
    below = [active for prompt, active in labelled if prompt.half == "score" and prompt.bin is not None]
    assert 0 < below.count(True) < 10 < below.count(False) and score.dropped == 0
    assert (score.n_active, score.n_inactive, score.lower) == (20, below.count(False), len(below))
    assert score.e == 1 and score.q is not None and score.q < 0.01
    ablation = finished.ablations[NEURON, HEAD, "resample", "last", ()]
    assert (ablation.active.n, ablation.inactive.n, ablation.lower) == (20, 20, 20)
    assert ablation.active.delta_log_p is not None and ablation.active.delta_log_p < -3
    assert ablation.inactive.delta_log_p is not None and abs(ablation.inactive.delta_log_p) < 0.5  # weak firing moves


def test_heads_with_another_contrast_are_not_compared_with_random_neurons(finished: StudyState) -> None:
    scorable = [score for score in finished.scores.values() if score.e is not None]
    compared = finished.baseline["rules"]
    assert (
        compared.next_token.heads + compared.random.heads == sum(not score.lower for score in scorable) < len(scorable)
    )


def test_the_report_and_the_tables_tell_lower_prompts_from_the_strongest(finished: StudyState) -> None:
    folder = Study.open("finished").folder / "report"
    score, lower = finished.scores[NEURON, HEAD, "rules"], finished.activity[NEURON].lower
    text = (folder / "report.md").read_text()
    assert f"n = 20 active + {score.n_inactive} inactive, {score.lower} of them from lower activation bins" in text
    assert f"the strongest prompts and {len(lower)} from lower activation bins" in text
    report = json.loads((folder / "report.json").read_text())
    [part] = [part for part in report["neurons"] if NeuronId(**part["found"]["neuron"]) == NEURON]
    assert part["lower_prompts"] == len(lower) and part["prompts_in_all"] == len(finished.prompts[NEURON])
    assert all(prompt["bin"] is None for prompt in part["prompts"])
    rows = [row for row in prompt_rows(finished) if row.neuron == str(NEURON)]
    assert [row.bin is None for row in rows].count(True) == len(finished.prompts[NEURON])


def test_a_study_that_ends_after_the_contrast_goes_on_from_it(settings: Settings, finished: StudyState) -> None:
    stopped = run("stopped", settings, until="contrast")
    assert stopped.activity == finished.activity and not stopped.explanations
    state = run("stopped", settings)
    assert (state.scores, state.ablations, state.baseline) == (finished.scores, finished.ablations, finished.baseline)


def test_the_papers_preset_explains_no_head_that_is_always_active(settings: Settings) -> None:
    state = run("paper", msgspec.structs.replace(settings, preset="paper"), until="contrast")
    found = state.activity[NEURON]
    assert found.always_active >= 1 and not found.lower and all(not one.lower for one in found.heads)


@pytest.mark.parametrize("sign", [1, -1])
def test_lower_prompts_of_a_gated_neuron_come_from_the_bins_below_for_its_sign(sign: int) -> None:
    fake, corpus = FakeModel(gated=True), FakeCorpus([300] * 40)
    index = scan(fake, corpus, [1], top_k=8)
    for neuron in (NeuronId(1, 0), NeuronId(1, 4)):
        top = index.top(neuron, "explain", sign)
        columns = (top.document, top.position, top.window, top.activation)
        strongest = trim(
            fake, corpus, [Place(neuron, *one) for one in zip(*(c.tolist() for c in columns), strict=True)]
        )
        found = lower_prompts(fake, corpus, index, strongest, sign=sign, count=9)
        weakest = min(sign * prompt.full_activation for prompt in strongest)
        assert len(found) == 9 == len({prompt.cluster for prompt in found})
        edges, _ = index.histogram(neuron)
        for prompt in found:
            row = corpus.windows[corpus.windows.index_of(prompt.document, prompt.position)]
            ids = row.ids[: prompt.position - row.start + 2]
            assert prompt.full_activation == fake.activation(1, neuron.index, ids)
            assert prompt.activation == fake.activation(1, neuron.index, prompt.token_ids)
            assert sign * prompt.full_activation < weakest and prompt.half == "explain" and prompt.bin is not None
            assert prompt.bin == np.clip(
                np.searchsorted(edges, prompt.full_activation, "right") - 1, 0, index.n_bins - 1
            )
        assert len({prompt.bin for prompt in found}) == 9  # each in turn


def test_without_strongest_prompts_there_is_nothing_lower() -> None:
    fake, corpus = FakeModel(), FakeCorpus([30] * 4)
    assert lower_prompts(fake, corpus, scan(fake, corpus, [1], top_k=2), [], count=5) == []
