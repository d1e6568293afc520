"""The study that the engine has open, with its model and corpus, and what small requests share between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from headtorch.core.analysis.congruence import best_token_neurons
from headtorch.core.analysis.interventions import Means, mean_head_outputs
from headtorch.core.engine.ahead import work_ahead
from headtorch.core.engine.best_prompts import BestPromptsTeller
from headtorch.core.engine.devices import DeviceMeter
from headtorch.core.engine.language_models import LanguageModels
from headtorch.core.engine.memory import make_room
from headtorch.core.engine.pipeline import is_finished, run_study
from headtorch.core.engine.protocol import Answer, OpenStudy, StudyReady
from headtorch.core.engine.stages import open_corpus, open_model
from headtorch.core.engine.workspace import Workspace
from headtorch.core.errors import InputError, Interrupted
from headtorch.core.events import AnyEvent, ModelOpened
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import NeuronId, NextTokenNeuron
from headtorch.core.scale.scanning import cluster_from_environment
from headtorch.core.settings import LlmAccess, Settings
from headtorch.core.study.places import default_name, resolve
from headtorch.core.study.study import Study, read_study_file

if TYPE_CHECKING:
    from headtorch.core.engine.server import Engine

NO_STUDY = "No study is open; open one first."
SCANNING = "The corpus is still being scanned; prompts of other neurons can be looked up when that is done."
READING = "The corpus is still being read; documents and prompts can be looked up when that is done."
NOT_SCANNED = "The corpus has not been scanned for this study; run the study first."


class Session:
    """Made for one OpenStudy; holds the study's lock from the first step of `begin` to `close`."""

    def __init__(self, engine: Engine, request: OpenStudy, before: Session | None = None) -> None:
        """`before`: the session that this one replaces; a model that both name is not loaded twice."""
        self.engine, self.request = engine, request
        self.folder, self.settings = _asked(request)
        model = before.loaded_model if before is not None and before.source == self.source else None
        self.workspace = Workspace(self.settings, device=request.device, watch=engine, model=model)
        self.workspace.llm = self.models(request.access)
        self.workspace.cluster = request.cluster or cluster_from_environment()
        self._study: Study | None = None
        self._ahead: Iterator[None] | None = None

    def models(self, access: LlmAccess) -> LanguageModels:
        """The language models as one request reaches them."""
        return LanguageModels(access, watch=self.engine, tell=self.engine.live)

    @property
    def source(self) -> tuple[object, ...]:
        """What decides the model."""
        return self.settings.model, self.settings.revision, self.settings.dtype, self.request.device

    @property
    def loaded_model(self) -> LanguageModel | None:
        """The model, if it has been loaded."""
        return vars(self.workspace).get("model")

    @property
    def study(self) -> Study:
        """Raises InputError where it could not be opened."""
        if self._study is None:
            raise InputError(NO_STUDY)
        return self._study

    @property
    def is_open(self) -> bool:
        return self._study is not None

    def begin(self) -> Iterator[AnyEvent | Answer]:
        """Open the study and, if asked to, run what is left of it.

        A new study is made only when its question is known to be good.
        """
        if not (self.folder / "study.json").exists():
            self.workspace.check_question()
        self._study = Study.create(self.folder, self.settings)
        yield StudyReady(request=self.request.id, folder=str(self.folder.absolute()))
        self._measure_device()
        if self.request.run and not is_finished(self._study.state):
            self.workspace.on_best = BestPromptsTeller(self.workspace, self._study, self.engine.live)
            yield from run_study(self._study, self.workspace)
            return
        opened = (open_model(self._study, self.workspace), open_corpus(self._study, self.workspace))
        for event in chain(*opened):
            if not self._known(event):
                yield self.log(event)

    def _known(self, event: AnyEvent) -> bool:
        state = self.study.state
        return event == state.corpus or (isinstance(event, ModelOpened) and event.facts == state.model)

    def close(self) -> None:
        """Let go of the study's lock."""
        if self._study is not None:
            self._study.close()

    def log(self, event: AnyEvent) -> AnyEvent:
        """Append an event to the study and give it back to be told."""
        self.study.append(event)
        return event

    # ── what a small request may use ──────────────────────────────────────────────────────────────────────────────

    def may_be_interrupted(self) -> bool:
        """Whether a request can be served in the middle of the run: nothing half done to the model is in the way."""
        model = self.loaded_model
        if self._study is None or model is None:
            return False
        return not any(module._forward_pre_hooks or module._forward_hooks for module in model.hf.modules())

    @contextmanager
    def apart(self) -> Iterator[None]:
        """For work within other work: tensors made here are ordinary, although a scan runs in inference mode."""
        with torch.inference_mode(False):
            yield

    def need_corpus(self) -> None:
        """Raises InputError where reading the corpus now would be the second time at once."""
        if "corpus" not in vars(self.workspace) and self.engine.nested:
            raise InputError(READING)

    def need_index(self) -> None:
        """Raises InputError where there is no finished index of the layers: a small request never starts a scan."""
        if "index" in vars(self.workspace):
            return
        if self.engine.nested and not self.study.state.is_done("scan"):
            raise InputError(SCANNING)
        if self.workspace.index_at_hand() is None:
            raise InputError(NOT_SCANNED)

    def row_of(self, neuron: NeuronId) -> NextTokenNeuron:
        """The neuron with its best token, as the study found it or by its weights.

        Raises AddressError for a neuron that the model does not have.
        """
        state = self.study.state
        known = state.neurons.get(neuron) or state.visited.get(neuron)
        if known is not None:
            return known
        self.workspace.model.check_neuron(neuron)
        return self.rows_of(neuron.layer)[neuron.index]

    def rows_of(self, layer: int) -> list[NextTokenNeuron]:
        """Every neuron of a layer with its best token, in order."""
        if layer not in self._rows:
            found = best_token_neurons(self.workspace.model, [layer], watch=self.engine)
            self._rows[layer] = sorted(found, key=lambda row: row.neuron)
        return self._rows[layer]

    @cached_property
    def _rows(self) -> dict[int, list[NextTokenNeuron]]:
        return {}

    @cached_property
    def means(self) -> Means:
        """Mean head outputs on random positions. Needs the index."""
        self.need_index()
        return mean_head_outputs(self.workspace.model, self.workspace.random_rows, watch=self.engine)

    def work_ahead(self) -> bool:
        """One piece of what visits will need, while nobody asks; False where nothing is left of it."""
        if not self.is_open or self.loaded_model is None:
            return False
        if self._ahead is None:
            self._ahead = work_ahead(self)
        try:
            next(self._ahead)
        except StopIteration:
            return False
        except Interrupted:
            self._ahead = None  # begun again; what was finished is kept
            raise
        return True

    def _measure_device(self) -> None:
        device = self.workspace.model.device
        uuid = None
        if device.type == "cuda" and torch.version.cuda is not None:
            uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        self.engine.measure(DeviceMeter(str(device), uuid))


def open_study(engine: Engine, request: OpenStudy) -> Iterator[AnyEvent | Answer]:
    """Close the study that is open and open another. Where that fails later than at its start, it stays open."""
    before, engine.session = engine.session, None
    if before is not None:
        before.close()
    session = Session(engine, request, before)
    del before
    make_room()
    engine.session = session
    try:
        yield from session.begin()
    finally:
        session.workspace.on_best = None
        if not session.is_open:
            engine.session = None


def _asked(request: OpenStudy) -> tuple[Path, Settings]:
    if request.settings is not None:
        where = default_name(request.settings) if request.where is None else request.where
        return resolve(where), request.settings
    if request.where is None:
        raise InputError("A study is opened by its name or by its settings; neither was given.")
    folder = resolve(request.where)
    return folder, read_study_file(folder).settings
