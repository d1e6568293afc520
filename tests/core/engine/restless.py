"""A researcher who starts studies, stops them at any moment and looks at neurons in between, all drawn by a seed."""

from __future__ import annotations

import random
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from wire import End, Line

from headtorch.core.engine.protocol import (
    AblateHead,
    AnyMessage,
    Cancel,
    ExplainHead,
    FindHeadRoles,
    Happened,
    ListNeurons,
    MeasureCooperation,
    MeasureEffects,
    MeasureSpectrum,
    NeuronList,
    OpenStudy,
    ProbeText,
    ReadDocument,
    Refused,
    Request,
    RequestDone,
    RequestFailed,
    ShadePrompts,
    VisitNeuron,
)
from headtorch.core.engine.workspace import index_folder
from headtorch.core.events import HeadsAttributed
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study.places import studies_folder

TEXTS = ("the United States", "He climbed the tree and picked an", "States", " ", "the people of the " * 12)
HASTE = 0.1  # seconds, at most, before a small request is cancelled


class Nonsense(Request, frozen=True, kw_only=True):
    """A request that no engine knows."""


@dataclass(frozen=True)
class Known:
    """A finished study that the researcher comes back to."""

    name: str
    settings: Settings
    neurons: list[NeuronId]


class Taken(msgspec.Struct, frozen=True):
    """How long the engine took for something, in seconds."""

    wall: float
    cpu: float


class Restless:
    """`prepare` once, then `cycle` as often as wanted, with `settle` before anything is measured.

    questions: each becomes a study that is finished and then looked at; the first is asked again and again with other
        seeds, and so scanned for again
    cpu: the engine's CPU time so far, in seconds
    """

    def __init__(
        self,
        line: Line,
        questions: Sequence[Settings],
        kept: Path,
        *,
        cpu: Callable[[], float] = time.process_time,
        seed: int = 0,
    ) -> None:
        self.line = line
        self.taken: dict[str, list[Taken]] = defaultdict(list)
        self.cycles = 0
        self._questions, self._kept, self._cpu = questions, kept, cpu
        self._draw = random.Random(seed)
        self._known: list[Known] = []
        self._indices: set[Path] = set()
        self._heads: dict[NeuronId, list[HeadId]] = {}  # of neurons visited since the last `settle`
        self._span = 0.0  # seconds that a whole study takes

    def prepare(self) -> None:
        """Finish the studies, keep copies of them as they are, and see how long one takes."""
        for number, settings in enumerate(self._questions):
            name = f"known-{number}"
            self._done(OpenStudy(id=0, settings=settings, where=name))
            rows = self.line.answer(ListNeurons(id=0), NeuronList)
            neurons = [NeuronId(layer, index) for layer, index in zip(rows.layer, rows.index, strict=True)]
            self._known.append(Known(name, settings, neurons))
        self._indices = set(index_folder().iterdir())
        self._span = self._done(OpenStudy(id=0, settings=self._asked_again(-1), where="again")).seconds
        shutil.copytree(studies_folder(), self._kept)
        self.settle()

    def settle(self) -> None:
        """Put the disk back to what `prepare` left, with one of the studies open, and wait until the engine is idle."""
        shutil.copytree(self._kept / "known-0", studies_folder() / "still", dirs_exist_ok=True)
        self._done(OpenStudy(id=0, where="still", run=False))
        for folder in studies_folder().iterdir():
            if folder.name != "still":
                shutil.rmtree(folder)
        for known in self._known:
            shutil.copytree(self._kept / known.name, studies_folder() / known.name)
        for path in index_folder().iterdir():
            if path not in self._indices:
                path.unlink()
        self._heads.clear()
        self.line.heard.clear()
        before = -1.0
        while self._cpu() - before > 0.01:
            before = self._cpu()
            time.sleep(0.15)

    def cycle(self) -> None:
        """A study begun and stopped, another one opened, a neuron looked at."""
        self.line.heard.clear()
        self.cycles += 1
        if self._one_in(4):
            self._ask_badly()
        self._begin_and_stop()
        known = self._known[0] if len(self._known) == 1 or not self._one_in(8) else self._draw.choice(self._known[1:])
        self._timed("opening a finished study", OpenStudy(id=0, where=known.name, run=False))
        self._look(known)
        if self._one_in(3):
            self._try(ProbeText(id=0, text=self._draw.choice(TEXTS), neuron=self._draw.choice(known.neurons)))

    # ── one after another ─────────────────────────────────────────────────────────────────────────────────────────

    def _begin_and_stop(self) -> None:
        again = OpenStudy(id=0, settings=self._asked_again(self.cycles), where=f"again-{self.cycles}")
        number = self.line.send(again)
        time.sleep(self._draw.uniform(0, self._span / 2))
        if self._one_in(3):
            neuron = self._draw.choice(self._known[0].neurons)
            small = [FindHeadRoles(id=0), VisitNeuron(id=0, neuron=neuron), ReadDocument(id=0, document=0)]
            self._timed("small request while a study runs", self._draw.choice(small))
        time.sleep(self._draw.uniform(0, self._span / 2))
        if self._one_in(8):
            return  # stopped by the study that is opened next
        self._stop("cancelling a study", number)

    def _look(self, known: Known) -> None:
        """Prompts and heads of a neuron, then more about one of its heads."""
        neuron = self._draw.choice(known.neurons)
        if neuron not in self._heads:
            said, _ = self._timed("drill-down", VisitNeuron(id=0, neuron=neuron))
            found = [one.event for one in said if isinstance(one, Happened)]
            self._heads[neuron] = [h for one in found if isinstance(one, HeadsAttributed) for h in one.top_heads]
        if not self._heads[neuron]:
            return  # it never fires
        head = self._draw.choice(self._heads[neuron])
        self._timed("shading", ShadePrompts(id=0, neuron=neuron, head=head, full=self._one_in(2)))
        often = [
            MeasureEffects(id=0, neuron=neuron),
            AblateHead(id=0, neuron=neuron, head=head),
            AblateHead(id=0, neuron=neuron, head=head, replacement="mean", position="all"),
            ExplainHead(id=0, neuron=neuron, head=head),
        ]
        seldom = [
            AblateHead(id=0, neuron=neuron, head=head, mediation=True),
            MeasureCooperation(id=0, neuron=neuron),
            MeasureSpectrum(id=0, neuron=neuron),
        ]
        self._try(self._draw.choice(seldom if self._one_in(10) else often))

    def _ask_badly(self) -> None:
        """What a researcher, or a front end of another version, may get wrong: refused, and nothing else happens."""
        number = self._draw.randrange(6)
        if number == 5:
            self.line.send(Nonsense(id=0))
            while not isinstance(self.line.next(), Refused):
                pass
            return
        nowhere, here = NeuronId(99, 0), self._known[0].neurons[0]
        wrong = [
            OpenStudy(id=0, where="no-such-study"),
            OpenStudy(id=0, settings=Settings(model="/no/such/model")),
            VisitNeuron(id=0, neuron=nowhere),
            ReadDocument(id=0, document=10**9),
            AblateHead(id=0, neuron=here, head=HeadId(98, 0)),
        ][number]
        _, end = self._asked(wrong)
        assert isinstance(end, RequestFailed), end

    # ── how things are asked ──────────────────────────────────────────────────────────────────────────────────────

    def _try(self, request: Request) -> None:
        """Ask, and now and then think better of it."""
        if not self._one_in(3):
            self._timed(type(request).__name__, request)
            return
        number = self.line.send(request)
        time.sleep(self._draw.uniform(0, HASTE))
        self._stop("cancelling a small request", number)

    def _stop(self, what: str, number: int) -> None:
        began, cpu = time.perf_counter(), self._cpu()
        self.line.send(Cancel(id=0, target=number))
        end = _sound(self.line.end(number))
        if not isinstance(end, RequestDone):
            self.taken[what].append(Taken(time.perf_counter() - began, self._cpu() - cpu))

    def _timed(self, what: str, request: Request) -> tuple[list[AnyMessage], End]:
        began, cpu = time.perf_counter(), self._cpu()
        said, end = self._asked(request)
        self.taken[what].append(Taken(time.perf_counter() - began, self._cpu() - cpu))
        return said, end

    def _asked(self, request: Request) -> tuple[list[AnyMessage], End]:
        said, end = self.line.ask(request)
        return said, _sound(end)

    def _done(self, request: Request) -> RequestDone:
        _, end = self._asked(request)
        assert isinstance(end, RequestDone), end
        return end

    def _asked_again(self, seed: int) -> Settings:
        return msgspec.structs.replace(self._questions[0], seed=1000 + seed)

    def _one_in(self, n: int) -> bool:
        return self._draw.randrange(n) == 0


def _sound(end: End) -> End:
    """The end, which is never an error of headtorch."""
    assert not (isinstance(end, RequestFailed) and end.bug), end
    return end
