"""The engine as a process: started, asked, killed, started again, and left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from headtorch.core.engine.client import EngineClient, EngineExit, default_log
from headtorch.core.engine.protocol import (
    AnyMessage,
    EngineReady,
    Happened,
    ListNeurons,
    NeuronList,
    OpenStudy,
    Refused,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    StudyReady,
)
from headtorch.core.events import IndexReady, Progress, StudyFinished
from headtorch.core.settings import Settings
from headtorch.core.study.study import Study

PATIENCE = 120.0
M = TypeVar("M")

# An engine that says nothing of its own: prints a line that is no message, then leaves as its argument says.
ODD = """
import os, signal, sys
print("not a message", flush=True)
print('{"type":"EngineReady","version":"1","pid":1}', flush=True)
print("one last word", file=sys.stderr, flush=True)
{act}
"""

# The real engine with a library that prints, and with blocks that take their time.
NOISY = """
import os, subprocess, sys, time
from headtorch.core.analysis.observation import Observer
observe = Observer.observe
def slow(*args):
    print("a library prints")
    os.write(1, b"straight to the descriptor\\n")
    subprocess.run(["echo", "a child prints"])
    time.sleep(0.15)
    return observe(*args)
Observer.observe = slow
from headtorch.core.engine.server import serve_standard_streams
serve_standard_streams()
"""


class Ears:
    """Hears an engine."""

    def __init__(self, command: list[str] | None = None, log: Path | None = None) -> None:
        self.messages: list[AnyMessage] = []
        self.exits: list[EngineExit] = []
        self.client = EngineClient(self.messages.append, self.exits.append, command, log)

    async def until(self, there: Callable[[], M | None]) -> M:
        """Wait until it is there."""
        end = time.monotonic() + PATIENCE
        while not (found := there()):
            assert time.monotonic() < end, self.messages[-3:]
            await asyncio.sleep(0.01)
        return found

    async def message(self, kind: type[M]) -> M:
        return await self.until(lambda: next((one for one in self.messages if isinstance(one, kind)), None))

    async def event(self, kind: type[M]) -> M:
        def found() -> M | None:
            events = (one.event for one in self.messages if isinstance(one, Happened))
            return next((event for event in events if isinstance(event, kind)), None)

        return await self.until(found)

    async def end(self, number: int) -> AnyMessage:
        kinds = (RequestDone, RequestFailed, RequestCancelled)
        return await self.until(
            lambda: next((m for m in self.messages if isinstance(m, kinds) and m.request == number), None)
        )


def odd(act: str) -> list[str]:
    return [sys.executable, "-c", ODD.replace("{act}", act)]


@pytest.fixture(autouse=True)
def surroundings(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_study_goes_on_after_the_engine_was_killed_in_the_middle_of_its_scan(tiny_settings: Settings) -> None:
    async def scenario() -> None:
        ears = Ears([sys.executable, "-c", NOISY])
        asked = OpenStudy(id=1, settings=tiny_settings, device="cpu")
        await ears.client.start()
        pid = (await ears.message(EngineReady)).pid
        assert pid == ears.client.pid and os.getsid(pid) == pid
        ears.client.send(asked)
        await ears.message(StudyReady)
        await ears.until(lambda: any(isinstance(m, Happened) and _scans(m.event) for m in ears.messages))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        exit_ = await ears.until(lambda: ears.exits[0] if ears.exits else None)
        assert time.monotonic() - killed < 20  # without waiting for a time-out
        assert exit_.signal == "SIGKILL" and exit_.last_line and "SIGKILL" in str(exit_)
        assert not ears.client.running

        ears.messages.clear()
        await ears.client.start()
        ears.client.send(asked)
        ears.client.send(ListNeurons(id=2))
        await ears.event(IndexReady)
        assert isinstance(await ears.end(2), RequestDone) and await ears.message(NeuronList)
        assert isinstance(await ears.end(1), RequestDone)
        assert await ears.event(StudyFinished)
        assert not any(isinstance(message, Refused) for message in ears.messages)  # in spite of all that was printed
        folder = (await ears.message(StudyReady)).folder
        assert Study.open(folder).state.finished is not None
        said = ears.client.log.read_text()
        assert "a library prints" in said and "straight to the descriptor" in said and "a child prints" in said

        last = ears.client.pid
        stopping = time.monotonic()
        ears.client.stop()
        assert time.monotonic() - stopping < 1  # nothing is waited for
        await ears.until(lambda: gone(last))
        assert len(ears.exits) == 1

    asyncio.run(scenario())


def _scans(event: object) -> bool:
    return isinstance(event, Progress) and event.stage == "scan" and event.done > 0


def test_the_command_answers_and_ends_when_its_input_does() -> None:
    async def scenario() -> None:
        ears = Ears()
        await ears.client.start()
        pid = (await ears.message(EngineReady)).pid
        number = ears.client.next_id()
        ears.client.send(OpenStudy(id=number, where="no such study"))
        failed = await ears.end(number)
        assert isinstance(failed, RequestFailed) and "There is no study in" in failed.message and not failed.bug
        os.kill(pid, signal.SIGINT)  # ctrl+c and a closed terminal are the front end's affair
        os.kill(pid, signal.SIGHUP)
        ears.client.send(ListNeurons(id=ears.client.next_id()))
        assert isinstance(await ears.end(number + 1), RequestFailed)
        os.kill(pid, signal.SIGTERM)
        exit_ = await ears.until(lambda: ears.exits[0] if ears.exits else None)
        assert (exit_.returncode, exit_.signal) == (0, None)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("act", "code", "name"),
    [
        ("sys.exit(3)", 3, None),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, "SIGSEGV"),
        ("raise ValueError('boom')", 1, None),
    ],
)
def test_a_death_is_told_with_its_cause_and_the_logs_last_line(
    tmp_path: Path, act: str, code: int, name: str | None
) -> None:
    async def scenario() -> None:
        log = tmp_path / "deep" / "engine.log"
        log.parent.mkdir()
        log.write_text("a line from before\n")
        ears = Ears(odd(act), log)
        await ears.client.start()
        exit_ = await ears.until(lambda: ears.exits[0] if ears.exits else None)
        assert (exit_.returncode, exit_.signal, exit_.log) == (code, name, log)
        assert exit_.last_line == ("ValueError: boom" if "boom" in act else "one last word")
        assert [type(message) for message in ears.messages] == [Refused, EngineReady]  # all that it had said, first

    asyncio.run(scenario())


def test_a_line_longer_than_asyncios_own_limit_arrives() -> None:
    act = 'print(\'{"type":"Refused","reason":"\' + \'x\' * 3_000_000 + \'"}\', flush=True)'

    async def scenario() -> None:
        ears = Ears(odd(act))
        await ears.client.start()
        await ears.until(lambda: ears.exits)
        long = ears.messages[-1]
        assert isinstance(long, Refused) and len(long.reason) == 3_000_000

    asyncio.run(scenario())


def test_without_an_engine_a_request_fails_instead_of_hanging() -> None:
    async def scenario() -> None:
        ears = Ears(odd("sys.exit(0)"))
        ears.client.send(ListNeurons(id=5))
        assert ears.messages == []
        failed = await ears.message(RequestFailed)
        assert failed.request == 5 and "not running" in failed.message

    asyncio.run(scenario())


def test_an_engine_that_does_not_answer_can_be_killed() -> None:
    async def scenario() -> None:
        ears = Ears(odd("signal.pause()"))
        await ears.client.start()
        await ears.message(EngineReady)
        ears.client.kill()
        assert (await ears.until(lambda: ears.exits[0] if ears.exits else None)).signal == "SIGKILL"

    asyncio.run(scenario())


def test_leaving_the_event_loop_does_not_kill_an_engine_that_still_saves(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    act = f"sys.stdin.read(); import time; time.sleep(0.5); open({str(saved)!r}, 'w').close()"

    async def scenario() -> None:
        ears = Ears(odd(act))
        await ears.client.start()
        await ears.message(EngineReady)
        ears.client.stop()

    asyncio.run(scenario())
    end = time.monotonic() + PATIENCE
    while not saved.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert saved.exists()


def test_logs_of_long_ago_are_removed(own_home: Path) -> None:
    folder = own_home / "logs"
    folder.mkdir(exist_ok=True)
    for i in range(30):
        (folder / f"engine-{i}.log").touch()
    assert default_log() == folder / f"engine-{os.getpid()}.log"
    assert len(list(folder.glob("engine-*.log"))) <= 10
