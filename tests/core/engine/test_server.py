"""What the engine does with requests, whatever they are about: which win, which stop, and how each one ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import get_args

import pytest
from wire import End, Wire

from headtorch.core.engine import handlers
from headtorch.core.engine.devices import DeviceMeter
from headtorch.core.engine.live import Pace
from headtorch.core.engine.protocol import (
    AnyRequest,
    Cancel,
    EngineReady,
    FindHeadRoles,
    Happened,
    HeadRoles,
    ListNeurons,
    OpenStudy,
    ProbeText,
    ReadDocument,
    Refused,
    RequestCancelled,
    RequestDone,
    RequestFailed,
)
from headtorch.core.engine.server import Engine
from headtorch.core.errors import DeviceError, InputError, Interrupted
from headtorch.core.events import AnyEvent, DeviceUse, Progress, Warned
from headtorch.core.records import NeuronId

PROBE = ProbeText(id=0, text="x", neuron=NeuronId(0, 0))
STUDY = OpenStudy(id=0, where="x")


class FakeSession:
    """A study that does nothing but be open."""

    def __init__(self) -> None:
        self.closed = False
        self.pieces: list[Callable[[], object]] = []  # of work ahead

    def work_ahead(self) -> bool:
        if self.pieces:
            self.pieces.pop(0)()
        return bool(self.pieces)

    def may_be_interrupted(self) -> bool:
        return True

    def apart(self) -> object:
        return nullcontext()

    def close(self) -> None:
        self.closed = True


class Play:
    """What the engine does with each kind of request, as the test says; `running` is set while a slow one runs."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.running = threading.Event()
        self.release = threading.Event()
        self.stopped: list[str] = []
        self.session = FakeSession()
        self.acts: dict[str, Callable[[Engine, AnyRequest], object]] = {}

    def slow(self, engine: Engine, request: AnyRequest) -> None:
        """Runs until it is released, with a checkpoint every millisecond."""
        self.running.set()
        try:
            while not self.release.wait(0.001):
                engine.checkpoint()
        except Interrupted:
            self.stopped.append(type(request).__name__)
            raise

    def perform(self, engine: Engine, request: AnyRequest) -> Iterator[AnyEvent]:
        name = type(request).__name__
        self.served.append(name)
        if isinstance(request, OpenStudy):
            engine.session = self.session  # type: ignore[assignment]
        act = self.acts.get(name)
        if act is not None:
            said = act(engine, request)
            if said is not None:
                yield said  # type: ignore[misc]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    played = Play()
    monkeypatch.setattr(handlers, "answer", played.perform)
    monkeypatch.setattr(handlers, "open_study", played.perform)
    return played


@contextmanager
def busy(play: Play, kind: str, request: AnyRequest) -> Iterator[tuple[Wire, int]]:
    """An engine in the middle of a slow request."""
    play.acts[kind] = play.slow
    with Wire() as wire:
        number = wire.send(request)
        assert play.running.wait(10)
        yield wire, number
        play.release.set()


def ends(wire: Wire) -> Counter[int]:
    return Counter(message.request for message in wire.heard if isinstance(message, get_args(End)))


def test_the_engine_is_ready_before_anything_is_asked() -> None:
    with Wire() as wire:
        ready = wire.next()
    assert isinstance(ready, EngineReady) and ready.pid > 0


@pytest.mark.parametrize("line", [b"hello\n", b"{}\n", b'{"type":"Explode","id":1}\n', b"\xff\xfe\n"])
def test_a_bad_line_is_refused_and_the_engine_goes_on(play: Play, line: bytes) -> None:
    with Wire() as wire:
        wire.raw(line)
        wire.next()
        refused = wire.next()
        assert isinstance(refused, Refused) and refused.reason.startswith("not a request")
        assert isinstance(wire.ask(PROBE)[1], RequestDone)


def test_a_newer_request_of_a_kind_stops_the_running_one(play: Play) -> None:
    with busy(play, "ProbeText", PROBE) as (wire, first):
        play.acts.clear()
        second = wire.send(PROBE)
        assert isinstance(wire.end(first), RequestCancelled)
        assert isinstance(wire.end(second), RequestDone)
    assert play.stopped == ["ProbeText"]


def test_only_the_newest_of_those_that_wait_is_served(play: Play) -> None:
    with busy(play, "ListNeurons", ListNeurons(id=0)) as (wire, first):
        probes = [wire.send(PROBE) for _ in range(5)]
        other = wire.send(FindHeadRoles(id=0))
        for number in probes[:-1]:
            assert isinstance(wire.end(number), RequestCancelled)
        play.release.set()
        assert all(isinstance(wire.end(number), RequestDone) for number in (first, probes[-1], other))
    assert play.served == ["ListNeurons", "ProbeText", "FindHeadRoles"]
    assert set(ends(wire).values()) == {1}


def test_cancel_stops_what_runs_and_what_waits(play: Play) -> None:
    with busy(play, "ProbeText", PROBE) as (wire, running):
        waiting = wire.send(ListNeurons(id=0))
        for target in (waiting, running):
            cancel = wire.send(Cancel(id=0, target=target))
            assert isinstance(wire.end(target), RequestCancelled)
            assert isinstance(wire.end(cancel), RequestDone)
        assert isinstance(wire.ask(Cancel(id=0, target=999))[1], RequestDone)
    assert play.served == ["ProbeText"]
    assert set(ends(wire).values()) == {1}


def test_a_study_that_is_opened_ends_all_that_came_before_it(play: Play) -> None:
    with busy(play, "OpenStudy", STUDY) as (wire, first):
        second = wire.send(STUDY)
        assert isinstance(wire.end(first), RequestCancelled)
        play.release.set()
        assert isinstance(wire.end(second), RequestDone)
    assert play.stopped == ["OpenStudy"]


def test_small_requests_are_served_in_the_middle_of_a_study(play: Play) -> None:
    with busy(play, "OpenStudy", STUDY) as (wire, study):
        for _ in range(3):
            assert isinstance(wire.ask(PROBE)[1], RequestDone)
        assert study not in ends(wire)
        play.release.set()
        assert isinstance(wire.end(study), RequestDone)


def test_a_small_request_is_not_interrupted_by_another(play: Play) -> None:
    inner = Play()
    with busy(play, "OpenStudy", STUDY) as (wire, study):
        play.acts["ProbeText"] = inner.slow
        probe = wire.send(PROBE)
        assert inner.running.wait(10)
        roles = wire.send(FindHeadRoles(id=0))
        assert not inner.release.wait(0.05)
        assert "FindHeadRoles" not in play.served
        inner.release.set()
        assert isinstance(wire.end(probe), RequestDone)
        assert isinstance(wire.end(roles), RequestDone)
        assert study not in ends(wire)


def test_a_failure_within_a_study_is_none_of_the_study(play: Play) -> None:
    def fail(*_: object) -> None:
        raise Interrupted("by itself")

    play.acts["ProbeText"] = fail
    with busy(play, "OpenStudy", STUDY) as (wire, study):
        assert isinstance(wire.ask(PROBE)[1], RequestCancelled)
        play.release.set()
        assert isinstance(wire.end(study), RequestDone)


@pytest.mark.parametrize(
    ("error", "sentence", "bug"),
    [
        (InputError("There is no such thing."), "There is no such thing.", False),
        (DeviceError("The device has too little free memory."), "The device has too little free memory.", False),
        (MemoryError(), "There is not enough memory", False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "There is not enough memory", False),
        (ZeroDivisionError("division\nby zero"), "ZeroDivisionError: division by zero", True),
    ],
)
def test_a_request_that_fails_says_why_in_one_line_and_the_engine_lives_on(
    play: Play, caplog: pytest.LogCaptureFixture, error: Exception, sentence: str, bug: bool
) -> None:
    def fail(*_: object) -> None:
        raise error

    play.acts["ProbeText"] = fail
    with Wire() as wire:
        _, end = wire.ask(PROBE)
        assert isinstance(end, RequestFailed) and end.bug == bug
        assert sentence in end.message and "\n" not in end.message
        assert isinstance(wire.ask(ListNeurons(id=0))[1], RequestDone)
    assert ("Traceback" in caplog.text) == (not isinstance(error, InputError))


def test_a_number_that_json_cannot_hold_fails_its_request_only(play: Play) -> None:
    nan = float("nan")
    play.acts["FindHeadRoles"] = lambda _, request: HeadRoles(
        request=request.id, previous_token=[[nan]], duplicate_token=[], induction=[]
    )
    with Wire() as wire:
        said, end = wire.ask(FindHeadRoles(id=0))
        assert said == [] and isinstance(end, RequestFailed) and end.bug
        assert isinstance(wire.ask(PROBE)[1], RequestDone)


def test_what_is_said_names_its_request(play: Play) -> None:
    play.acts["ProbeText"] = lambda *_: Warned(text="Look out.")
    with Wire() as wire:
        assert wire.events(PROBE) == [Warned(text="Look out.")]


def test_the_end_of_the_input_stops_what_runs_and_closes_the_study(play: Play) -> None:
    with busy(play, "OpenStudy", STUDY) as (wire, study):
        wire.requests.close()
        assert isinstance(wire.end(study), RequestCancelled)
    assert play.stopped == ["OpenStudy"] and play.session.closed


def test_nobody_listens_any_more(play: Play) -> None:
    with busy(play, "OpenStudy", STUDY) as (wire, _):
        wire.engine._messages.close()
        wire.send(PROBE)  # its answer finds nobody
        wire._server.join(10)
        assert not wire._server.is_alive()
    assert play.session.closed


def test_without_a_study_there_is_nothing_to_ask_about() -> None:
    with Wire() as wire:
        assert "No study is open" in wire.refusal(ReadDocument(id=0, document=0))
        assert "No study is open" in wire.refusal(PROBE)
        assert "neither was given" in wire.refusal(OpenStudy(id=0))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_is_told_ten_times_a_second_and_its_last_report_is_not_lost() -> None:
    clock, told = Clock(), list[AnyEvent]()
    pace = Pace(told.append, clock)
    for i in range(1001):  # 10 s at 100 reports a second
        pace.report("scan", i, 1000, "tokens")
        clock.now += 0.01
    pace.tell_due(all_of_it=True)
    assert all(isinstance(event, Progress) for event in told)
    assert 90 <= len(told) <= 102
    assert (told[-1].done, told[-1].total) == (1000, 1000)  # type: ignore[union-attr]


def test_the_rate_is_that_of_the_work_done_since_it_began() -> None:
    clock, told = Clock(), list[Progress]()
    pace = Pace(told.append, clock)  # type: ignore[arg-type]
    pace.report("scan", 5000, 10_000, "tokens")  # resumed in the middle
    clock.now += 0.4
    pace.report("scan", 5400, 10_000, "tokens")
    clock.now += 0.6
    pace.report("scan", 6000, 10_000, "tokens")
    assert [(event.rate, event.seconds_left) for event in told[:2]] == [(None, None)] * 2
    assert told[2].rate == pytest.approx(1000) and told[2].seconds_left == pytest.approx(4)
    clock.now += 1
    pace.report("scan", 7, 0, "documents")  # begun anew, of nobody knows how many
    assert told[3].rate is None and told[3].seconds_left is None


def test_device_use_is_told_once_a_second_and_only_when_it_changed() -> None:
    clock = Clock()
    meter = DeviceMeter("cpu", clock=clock)
    use = [DeviceUse(device="cpu", memory_used=used, memory_total=100, busy=0.5) for used in (10, 10, 50)]
    meter.measure = lambda: use.pop(0)  # type: ignore[method-assign]
    told = []
    for _ in range(4):
        told.append(meter.due())
        clock.now += 0.5
    clock.now += 0.5
    told.append(meter.due())
    assert [one and one.memory_used for one in told] == [10, None, None, None, 50]


def test_the_machines_own_use_is_within_its_bounds() -> None:
    use = DeviceMeter("cpu").measure()
    assert use is not None and use.memory_total is not None and use.busy is not None
    assert 0 < use.memory_used < use.memory_total and 0 <= use.busy <= 1


def test_work_ahead_goes_on_while_nobody_asks_and_stops_for_a_request(play: Play) -> None:
    done = threading.Event()
    engines: list[Engine] = []

    def endless() -> None:
        play.running.set()
        while True:
            engines[0].checkpoint()
            engines[0].progress("ahead", 1, 2)

    play.acts["OpenStudy"] = lambda engine, request: engines.append(engine)
    play.session.pieces = [endless, done.set]
    with Wire() as wire:
        wire.ask(STUDY)
        assert play.running.wait(10)
        assert isinstance(wire.ask(PROBE)[1], RequestDone)
        assert done.wait(10)
    assert not any(isinstance(message, Happened) for message in wire.heard)


def test_work_ahead_that_fails_is_not_tried_for_ever(play: Play) -> None:
    tried = []

    def fails() -> None:
        tried.append(1)
        raise MemoryError

    play.session.pieces = [fails] * 1000
    with Wire() as wire:
        wire.ask(STUDY)
        assert isinstance(wire.ask(PROBE)[1], RequestDone)
    assert len(tried) <= 2
