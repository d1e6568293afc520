"""A whole study of the planted circuit: it finds what was planted, and stopping it anywhere changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import msgspec
import pytest
import torch
from planted import HEAD, LOOKED_UP, NEURON, SECOND_HEAD, TARGET, TRIGGER, planted_corpus, planted_hf, planted_tokenizer

from headtorch.core.engine.pipeline import run_study
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError, Interrupted, StudyError
from headtorch.core.events import AnyEvent, HeadScored, IndexReady, StageFinished, StageStarted
from headtorch.core.explain.rule import Rule
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import Prompt
from headtorch.core.settings import Settings
from headtorch.core.study.stages import stages_of
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study
from headtorch.core.watch import SILENT, Watch


@cache
def planted_model() -> LanguageModel:
    return LanguageModel.from_hf(planted_hf(), planted_tokenizer(), name="planted")


@dataclass(frozen=True)
class Letters:
    """The planted corpus as text files, without the documents in which both pathways fire the neuron."""

    folder: Path

    @property
    def settings(self) -> Settings:
        return Settings(
            model="planted",
            corpus=str(self.folder),
            token_texts=(TARGET,),
            layers="all",
            neurons_limit=1,
            random_neurons=3,
            context=64,
            explain_n=60,  # all there are: the strongest 20 are nearly all of the other pathway
        )

    def run(
        self, name: str, watch: Watch = SILENT, model: LanguageModel | None = None, **changed: object
    ) -> StudyState:
        """The state of the study after running what is left of it."""
        settings = msgspec.structs.replace(self.settings, **changed)
        with Study.create(name, settings) as study:
            for _ in run_study(study, Workspace(settings, model=model or planted_model(), watch=watch)):
                pass
        return study.state


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Letters]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_HOME", str(home))
        patch.setenv("HEADTORCH_CACHE", str(home / "cache"))
        yield Letters(write_letters(home / "letters"))


def write_letters(folder: Path) -> Path:
    folder.mkdir()
    chosen = [document for document in planted_corpus(160) if document.kind != "both"]
    for number, document in enumerate(chosen):
        (folder / f"{number:03d}.txt").write_text(document.text)
    return folder


@pytest.fixture(scope="module")
def finished(letters: Letters) -> StudyState:
    return letters.run("finished")


def text_before(prompt: Prompt) -> list[str]:
    """The tokens of the prompt's document up to the firing one, from the corpus's own words."""
    number = int(prompt.title.removesuffix(".txt"))
    document = [one for one in planted_corpus(160) if one.kind != "both"][number]
    tokens = planted_model().token_texts(planted_model().encode(document.text))
    return tokens[: prompt.position + 1]


def test_the_planted_neuron_comes_first_for_the_token(finished: StudyState) -> None:
    [found] = finished.next_token_neurons()
    assert (found.neuron, found.token, found.rank, found.kind) == (NEURON, TARGET, 0, "prediction")
    assert found.z > 3 * max(row.z for row in finished.neurons.values() if row.random)
    validity = finished.validity[NEURON]
    assert validity.valid and validity.next_share == 1 and validity.auroc == 1
    assert validity.ablation_log_p is not None and validity.ablation_log_p < -5


def test_its_prompts_end_at_the_trigger_and_keep_what_fires_it(finished: StudyState) -> None:
    prompts = finished.prompts[NEURON]
    assert [prompt.half for prompt in prompts].count("explain") >= 40
    for prompt in prompts:
        assert prompt.tokens[-1] == TRIGGER and prompt.next_token == TARGET
        assert text_before(prompt)[prompt.start :] == prompt.tokens[1:]
        assert prompt.kept_ratio >= 0.8
    explaining = {prompt.document for prompt in prompts if prompt.half == "explain"}
    assert not explaining & {prompt.document for prompt in prompts if prompt.half == "score"}


def test_the_head_is_explained_by_the_token_that_it_looks_up(finished: StudyState) -> None:
    activity = {one.head: one for one in finished.activity[NEURON].heads}
    assert activity[HEAD].active == [LOOKED_UP in text_before(prompt) for prompt in finished.prompts[NEURON]]
    said = finished.explanations[NEURON, HEAD, "rules"]
    assert f'"{LOOKED_UP}"' in said.text and said.train_balanced_accuracy == 1.0
    assert said.rule is not None
    rule = Rule.loads(said.rule)
    assert rule.judges([" by", LOOKED_UP, " law", TRIGGER]) and not rule.judges([" by", " banner", " law", TRIGGER])


def test_its_explanation_is_right_on_every_unseen_prompt(finished: StudyState) -> None:
    score = finished.scores[NEURON, HEAD, "rules"]
    unseen = [i for i, prompt in enumerate(finished.prompts[NEURON]) if prompt.half == "score"]
    active = next(one.active for one in finished.activity[NEURON].heads if one.head == HEAD)
    assert score.e == 1.0
    assert score.n_active == sum(active[i] for i in unseen) >= 10
    assert score.n_inactive == sum(not active[i] for i in unseen) >= 10
    assert score.interval is not None and score.interval.low > 0.8
    assert score.q is not None and score.q < 1e-4
    controls = {control.name: control.e for control in score.controls}
    assert controls["empty"] == 0.5
    assert controls["shuffled"] == pytest.approx(0.5, abs=0.1)


def test_without_the_head_the_prediction_is_gone_where_it_was_active(finished: StudyState) -> None:
    ablation = finished.ablations[NEURON, HEAD, "resample", "last", ()]
    assert ablation.active.n >= 10 and ablation.inactive.n >= 10
    assert ablation.active.delta_log_p is not None and ablation.active.delta_log_p < -3
    assert ablation.inactive.delta_log_p is not None and abs(ablation.inactive.delta_log_p) < 0.1
    assert ablation.ks == 1.0


def test_random_neurons_stand_beside_those_found(finished: StudyState) -> None:
    random = [row.neuron for row in finished.neurons.values() if row.random]
    assert len(random) == 3 and NEURON not in random
    assert {*random, NEURON} == set(finished.prompts) == set(finished.activity)
    compared = finished.baseline["rules"]
    of_random = [score.e for score in finished.scores.values() if score.neuron in random and score.e is not None]
    assert compared.random.heads == len(of_random)
    assert compared.next_token.neurons == 1


def test_every_stage_is_done_and_the_report_says_e_with_its_counts(letters: Letters, finished: StudyState) -> None:
    assert all(finished.is_done(stage) for stage in stages_of(finished)) and finished.finished is not None
    folder = Study.open("finished").folder / "report"
    assert {str(folder / name) for name in ("report.md", "report.json")} <= set(finished.reports)
    score = finished.scores[NEURON, HEAD, "rules"]
    assert score.interval is not None
    text = (folder / "report.md").read_text()
    assert f"E = 1.00 [{score.interval.low:.2f}, 1.00]" in text
    assert f"n = {score.n_active} active + {score.n_inactive} inactive" in text
    assert '"e": 1.0' in json.dumps(json.loads((folder / "report.json").read_text()))


def findings(state: StudyState) -> dict[str, object]:
    """All that a study says, without times and without the names of artefacts."""
    return {
        "neurons": state.neurons,
        "prompts": state.prompts,
        "validity": state.validity,
        "heads": {neuron: event.heads for neuron, event in state.attributed.items()},
        "activity": state.activity,
        "explanations": state.explanations,
        "scores": state.scores,
        "ablations": state.ablations,
        "baseline": state.baseline,
    }


class Stopping(Watch):
    """Stops the work at its n-th checkpoint."""

    def __init__(self, after: int) -> None:
        self.left = after

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Interrupted("stopped")


def test_a_study_that_is_stopped_again_and_again_ends_like_one_that_is_not(
    letters: Letters, finished: StudyState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADTORCH_CACHE", str(tmp_path))  # without the index of the finished study
    for stops in count():
        try:
            state = letters.run("stopped", Stopping(3 + 5 * stops))
            break
        except Interrupted:
            assert Study.open("stopped").state.finished is None
    assert stops >= 4
    assert findings(state) == findings(finished)


def test_a_process_that_ends_after_any_stage_loses_nothing_that_was_shown(
    letters: Letters, finished: StudyState
) -> None:
    started: list[str] = []
    for stage in stages_of(finished):
        with Study.create("killed", letters.settings) as study:
            events = run_study(study, Workspace(letters.settings, model=planted_model()))
            for event in shown(events, until=lambda event: isinstance(event, StageFinished)):
                assert list(Study.open("killed").replay())[-1] == event
                started += [event.stage] if isinstance(event, StageStarted) else []
        assert Study.open("killed").state.is_done(stage)
    assert started == list(stages_of(finished))
    assert findings(letters.run("killed")) == findings(finished)


def shown(events: Iterator[AnyEvent], until: Callable[[AnyEvent], bool]) -> Iterator[AnyEvent]:
    for event in events:
        yield event
        if until(event):
            return


def test_a_finished_study_that_runs_again_computes_nothing(letters: Letters, finished: StudyState) -> None:
    with Study.create("finished", letters.settings) as study:
        before = len(list(study.replay()))
        workspace = Workspace(letters.settings)  # its model, "planted", cannot be opened by that name
        events = list(run_study(study, workspace))
    assert not any(isinstance(event, HeadScored | StageStarted) for event in events)
    assert len(list(study.replay())) == before + len(events) <= before + 1
    assert findings(study.state) == findings(finished)


def test_a_changed_corpus_is_refused(letters: Letters, tmp_path: Path) -> None:
    folder = write_letters(tmp_path / "letters")
    settings = msgspec.structs.replace(letters.settings, corpus=str(folder))
    with Study.create("changed", settings) as study:
        events = run_study(study, Workspace(settings, model=planted_model()))
        list(shown(events, until=lambda event: isinstance(event, IndexReady)))
    before = findings(study.state)
    (folder / "000.txt").write_text("Today another text stands here.")
    with pytest.raises(StudyError, match="The corpus is not the one that the study changed began with"):
        letters.run("changed", corpus=str(folder))
    assert findings(Study.open("changed").state) == before != findings(StudyState())


def test_other_settings_need_another_study(letters: Letters, finished: StudyState) -> None:
    with pytest.raises(StudyError, match="explain_n is 60 there and 10 now"):
        letters.run("finished", explain_n=10)


def test_a_reject_list_that_takes_everything_is_said_so(letters: Letters) -> None:
    everything = tuple(f"L1.N{index}" for index in range(32))
    with pytest.raises(InputError, match="No neuron is left"):
        letters.run("rejected", reject_neurons=everything, layers="1")


def test_a_pattern_of_the_researcher_is_scored_like_a_rule(letters: Letters) -> None:
    state = letters.run("mine", explainer="me", explanation=f"re:{LOOKED_UP}")
    assert state.scores[NEURON, HEAD, "me"].e == 1.0
    assert state.scores[NEURON, SECOND_HEAD, "me"].e == 0.0  # it is active where the other is not


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"explainer": "me", "explanation": "The text names a treaty."}, "needs a language model as its judge"),
        ({"explainer": "me", "explanation": "re:("}, "is not a regular expression"),
        ({"explainer": "me"}, "go together"),
        ({"explanation": "re:treaty"}, "go together"),
        ({"explainer": "llm"}, "--explainer-model"),
        ({"attribution": "dot"}, "baseline of a head is measured in direct attribution"),
    ],
)
def test_settings_that_cannot_be_carried_through_are_refused_before_any_work(
    letters: Letters, changed: dict[str, object], said: str
) -> None:
    name = f"refused {said[:12]}{len(changed)}"
    with pytest.raises(InputError, match=said):
        letters.run(name, **changed)
    assert findings(Study.open(name).state) == findings(StudyState())


def test_a_model_of_random_weights_explains_nothing(letters: Letters) -> None:
    hf, generator = planted_hf(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) if parameter.ndim == 2 else 0.0)
        for name, parameter in hf.named_parameters():
            if "ln_" in name and name.endswith("weight"):
                parameter.fill_(1)
    model = LanguageModel.from_hf(hf, planted_tokenizer(), name="planted")
    state = letters.run("random", model=model, token_texts=(), neurons_limit=8, random_neurons=8, explain_n=20)
    scores = list(state.scores.values())
    known = [score.e for score in scores if score.e is not None]
    assert state.finished is not None and len(known) >= 6
    assert sum(known) / len(known) == pytest.approx(0.5, abs=0.1)
    assert not any(validity.valid for validity in state.validity.values())
    assert all(score.q is None or score.q > 0.05 for score in scores)
    assert state.baseline["rules"].random.heads > 0 and state.baseline["rules"].random.neurons < 8
    assert state.baseline["rules"].interval is None, "none with fewer than eight neurons a group"
