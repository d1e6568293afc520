"""An engine without a process, for tests of the terminal: it records requests and says what the test tells it to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeVar

from textual.pilot import Pilot

from headtorch.core.engine.client import EngineExit
from headtorch.core.engine.protocol import AnyMessage, Happened, Request, RequestDone
from headtorch.core.events import AnyEvent
from headtorch.tui.app import HeadtorchApp
from headtorch.tui.screens.plate import PlateScreen

R = TypeVar("R", bound=Request)


async def begun(app: HeadtorchApp, pilot: Pilot[None]) -> None:
    """Wait until the first frame has made way for what is opened, and the engine was started where one is."""
    engine = app.engine
    assert isinstance(engine, FakeEngine)
    for _ in range(500):
        await pilot.pause(0.01)
        if not isinstance(app.screen, PlateScreen) and (engine.starts or app.session.read_only is not None):
            break
    await pilot.pause()


class FakeEngine:
    """The interface of EngineClient. `emit` delivers a message at once, `die` ends the engine."""

    def __init__(
        self,
        on_message: Callable[[AnyMessage], object],
        on_exit: Callable[[EngineExit], object],
        command: object = None,
        log: Path | None = None,
    ) -> None:
        self._on_message, self._on_exit = on_message, on_exit
        self.log = log or Path("engine.log")
        self._ids = count(1)
        self.requests: list[Request] = []
        self.starts = 0
        self.stopped = False
        self.running = False

    @property
    def pid(self) -> int | None:
        return 4242 if self.running else None

    async def start(self) -> None:
        self.starts += 1
        self.running, self.stopped = True, False

    def send(self, request: Request) -> None:
        self.requests.append(request)

    def next_id(self) -> int:
        return next(self._ids)

    def stop(self) -> None:
        self.running, self.stopped = False, True

    def kill(self) -> None:
        self.die(-9, "SIGKILL")

    def emit(self, message: AnyMessage) -> None:
        """The engine says something."""
        self._on_message(message)

    def happen(self, request: int, *events: AnyEvent, done: bool = False) -> None:
        """Events of a request, and its end with `done`."""
        for event in events:
            self.emit(Happened(request=request, event=event))
        if done:
            self.emit(RequestDone(request=request, seconds=0.0))

    def die(self, returncode: int = -9, signal: str | None = "SIGKILL", last_line: str | None = None) -> None:
        """The engine ends although nobody told it to."""
        self.running = False
        self._on_exit(EngineExit(returncode, signal, last_line, self.log))

    def sent(self, kind: type[R]) -> list[R]:
        """The requests of a kind, oldest first."""
        return [request for request in self.requests if isinstance(request, kind)]
