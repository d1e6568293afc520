"""The engine: one process that owns the model, reads requests, and does one thing at a time.

A thread reads; the main thread works. While a study is opened and run, other requests are served at its checkpoints,
in the same thread, so that nothing ever touches the model twice at once; so they are while any request waits for a
language model. Torch is not imported here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from headtorch.core.engine.devices import DeviceMeter
from headtorch.core.engine.inbox import Inbox
from headtorch.core.engine.live import Pace
from headtorch.core.engine.protocol import (
    Answer,
    AnyMessage,
    AnyRequest,
    EngineReady,
    Happened,
    Message,
    OpenStudy,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    encode_line,
)
from headtorch.core.errors import HeadtorchError, Interrupted
from headtorch.core.events import AnyEvent
from headtorch.core.version import version
from headtorch.core.watch import Watch

if TYPE_CHECKING:
    from headtorch.core.engine.session import Session

LONGEST_END = 20.0  # seconds between the end of the requests and that of the process
PATIENCE = 0.5  # seconds before a small request tells its progress

_log = logging.getLogger(__name__)


def serve(
    requests: BinaryIO, messages: BinaryIO, *, warm: bool = False, on_end: Callable[[], None] = lambda: None
) -> None:
    """Answer requests until their stream ends; what runs then is stopped at its next checkpoint, and kept.

    `warm`: import what requests need while there is none. `on_end` is called, in the reading thread, when the stream
    has ended.
    """
    Engine(messages).run(requests, warm=warm, on_end=on_end)


def serve_standard_streams() -> None:
    """Serve on standard input and output, as a process of its own.

    Libraries print: messages go to a private copy of standard output, which itself becomes standard error. ctrl+c and a
    closed terminal are the front end's affair; it ends the engine by closing its input.
    """
    requests = os.fdopen(os.dup(0), "rb")
    messages = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    engine = Engine(messages)

    def terminate(*_: object) -> None:
        engine.inbox.end()
        _end_soon()

    signal.signal(signal.SIGTERM, terminate)
    engine.run(requests, warm=True, on_end=_end_soon)
    # Not sys.exit: the reading thread may hold the lock of its stream, and a library's thread may never join.
    with contextlib.suppress(OSError):
        messages.flush()
    os._exit(0)


def _end_soon() -> None:
    """End the process even if its work does not stop."""

    def end() -> None:
        _log.error("The engine did not stop within %.0f seconds and was ended.", LONGEST_END)
        os._exit(1)

    watchdog = threading.Timer(LONGEST_END, end)
    watchdog.daemon = True
    watchdog.start()


@dataclass
class Work:
    """A request that runs."""

    request: AnyRequest
    pace: Pace
    began: float = field(default_factory=time.monotonic)


class Engine(Watch):
    """The main thread's side. As the Watch of all work it tells progress, stops, and serves requests in between."""

    def __init__(self, messages: BinaryIO) -> None:
        self._messages = messages
        self._write_lock = threading.Lock()
        self.inbox = Inbox(self.send)
        self._works: list[Work] = []  # the study's run, and a request served within it
        self.session: Session | None = None
        self._meter: DeviceMeter | None = None

    def run(self, requests: BinaryIO, *, warm: bool, on_end: Callable[[], None]) -> None:
        """Serve until the requests end."""
        self.send(EngineReady(version=version(), pid=os.getpid()))
        threading.Thread(target=self.inbox.read, args=(requests, on_end), daemon=True).start()
        if warm:
            import headtorch.core.engine.handlers  # noqa: F401
            from headtorch.core.engine.memory import set_aside

            set_aside()
        while (request := self._next_request()) is not None:
            self._serve(request)
        self.inbox.drop_all()
        if self.session is not None:
            self.session.close()

    def _next_request(self) -> AnyRequest | None:
        """The next request; until it comes, the session works ahead. None at the end."""
        while not self.inbox.has_waiting and self.session is not None and self._work_ahead(self.session):
            pass
        return self.inbox.wait()

    def _work_ahead(self, session: Session) -> bool:
        """One piece of what later requests will need; False where nothing is left of it."""
        try:
            return session.work_ahead()
        except Interrupted:
            return True
        except Exception as error:  # a request that needs it will say what is wrong
            from headtorch.core.engine.memory import make_room

            _log.warning("Working ahead stopped: %s", error)
            error.__traceback__ = None
            make_room()
            return False

    def send(self, message: Message) -> None:
        """Write a message; where nobody reads any more, the end has come."""
        line = encode_line(message)
        try:
            with self._write_lock:
                self._messages.write(line)
                self._messages.flush()
        except (OSError, ValueError):  # a broken pipe, a closed stream
            self.inbox.end()

    @property
    def nested(self) -> bool:
        """Whether the present request is served within the run of a study."""
        return any(isinstance(work.request, OpenStudy) for work in self._works[:-1])

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        if not self._works:
            return  # nobody waits for work ahead
        work = self._works[-1]
        if isinstance(work.request, OpenStudy) or time.monotonic() - work.began >= PATIENCE:
            work.pace.report(stage, done, total, unit)

    def checkpoint(self) -> None:
        """Raises Interrupted where the present request is not wanted any more, and work ahead when one has come."""
        if not self._works:
            if self.inbox.has_waiting:
                raise Interrupted("A request has come.")
            return
        work = self._works[-1]
        self._stop_unwanted(work)
        work.pace.tell_due()
        self._tell_device(work)
        if isinstance(work.request, OpenStudy):
            self._serve_between(work)

    def waiting(self) -> None:
        """Between the replies of a language model other requests are served, whoever waits: nothing touches the model.

        Not those of a kind that is running already, whose turn comes when that has ended.
        """
        self.checkpoint()
        work = self._works[-1]
        if not isinstance(work.request, OpenStudy):
            self._serve_between(work)

    def _stop_unwanted(self, work: Work) -> None:
        if self.inbox.is_unwanted(work.request):
            raise Interrupted("The request was cancelled.")

    def _serve_between(self, work: Work) -> None:
        """Serve what waits within the present work, as long as that is in a state to be left alone."""
        running = {OpenStudy, *(type(one.request) for one in self._works)}
        while self.session is not None and self.session.may_be_interrupted():
            request = self.inbox.take(lambda request: type(request) not in running)
            if request is None:
                break
            with self.session.apart():
                self._serve(request)
        self._stop_unwanted(work)

    def _serve(self, request: AnyRequest) -> None:
        """Answer one request, whatever happens."""
        work = Work(request, Pace(lambda event: self._happened(request, event)))
        self._works.append(work)
        try:
            end = self._end_of(work)
        finally:
            self._works.pop()
            self.inbox.finished(request)
        self.send(end)

    def _end_of(self, work: Work) -> AnyMessage:
        request = work.request
        try:
            for said in self._answers(request):
                self._tell(request, said)
            work.pace.tell_due(all_of_it=True)
        except Interrupted:
            return RequestCancelled(request=request.id)
        except HeadtorchError as error:
            return RequestFailed(request=request.id, message=str(error))
        except Exception as error:
            return self._failure(request, error)
        return RequestDone(request=request.id, seconds=time.monotonic() - work.began)

    def _failure(self, request: AnyRequest, error: Exception) -> RequestFailed:
        from headtorch.core.engine.memory import make_room, out_of_memory

        kind = type(request).__name__
        _log.exception("%s failed", kind)
        if out_of_memory(error):
            error.__traceback__ = None  # its frames hold what is to be let go of
            make_room()
            return RequestFailed(
                request=request.id,
                message="There is not enough memory for this; close other programs, or take a smaller model, "
                "a shorter context or another device.",
            )
        said = " ".join(str(error).split())[:200]
        return RequestFailed(
            request=request.id,
            message=f"{kind} failed by an error of headtorch ({type(error).__name__}: {said}); see the log.",
            bug=True,
        )

    def _answers(self, request: AnyRequest) -> Iterator[AnyEvent | Answer]:
        from headtorch.core.engine.handlers import answer, open_study

        if isinstance(request, OpenStudy):
            return open_study(self, request)
        return answer(self, request)

    def _tell(self, request: AnyRequest, said: AnyEvent | Answer) -> None:
        if isinstance(said, Answer):
            self.send(said)
        else:
            self._happened(request, said)

    def _happened(self, request: AnyRequest, event: AnyEvent) -> None:
        self.send(Happened(request=request.id, event=event))

    def live(self, event: AnyEvent) -> None:
        """Tell an event of the present request that is not to be logged."""
        self._happened(self._works[-1].request, event)

    def measure(self, meter: DeviceMeter) -> None:
        """Tell the use of a device from now on."""
        self._meter = meter

    def _tell_device(self, work: Work) -> None:
        use = self._meter.due() if self._meter is not None else None
        if use is not None:
            self._happened(work.request, use)
