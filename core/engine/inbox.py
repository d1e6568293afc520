"""Requests that wait for the engine, and those that are not wanted any more. No torch here.

The latest of a kind wins, and a study that is opened ends all that came before it. Requests are read in a thread of
their own, so that this is known while the engine works.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from headtorch.core.engine.protocol import (
    AnyMessage,
    AnyRequest,
    Cancel,
    OpenStudy,
    Refused,
    RequestCancelled,
    RequestDone,
    decode_request,
)
from headtorch.core.errors import InputError


class Inbox:
    """Filled by `read`, emptied by `wait` and `take`. A request that leaves by another way is answered here."""

    def __init__(self, answer: Callable[[AnyMessage], None]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._waiting: list[AnyRequest] = []
        self._running: dict[int, AnyRequest] = {}
        self._unwanted: set[int] = set()  # of those that run
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # may be rung from a signal handler
        self.ending = False

    def read(self, stream: BinaryIO, on_end: Callable[[], None]) -> None:
        """Take requests in until the stream ends; a line that is no request is refused."""
        try:
            for line in stream:
                if line.strip():
                    self._take_in(line)
        except (OSError, ValueError):  # closed under our hands
            pass
        finally:
            self.end()
            on_end()

    def end(self) -> None:
        """No request is wanted any more. Safe in a signal handler."""
        self.ending = True
        self._bell.put(None)

    def wait(self) -> AnyRequest | None:
        """The next request, which then counts as running; None at the end."""
        while not self.ending:
            request = self.take(lambda _: True)
            if request is not None:
                return request
            self._bell.get()
        return None

    @property
    def has_waiting(self) -> bool:
        """Whether something is there for the main thread to do: a request, or the end."""
        return bool(self._waiting) or self.ending

    def take(self, fitting: Callable[[AnyRequest], bool]) -> AnyRequest | None:
        """The oldest request that fits, which then counts as running; None without one."""
        if not self._waiting:
            return None
        with self._lock:
            found = next((request for request in self._waiting if fitting(request)), None)
            if found is not None:
                self._waiting.remove(found)
                self._running[found.id] = found
            return found

    def finished(self, request: AnyRequest) -> None:
        """The request runs no longer."""
        with self._lock:
            self._running.pop(request.id, None)
            self._unwanted.discard(request.id)

    def is_unwanted(self, request: AnyRequest) -> bool:
        """Whether a running request is to stop."""
        return self.ending or request.id in self._unwanted

    def drop_all(self) -> None:
        """Cancel everything that waits."""
        with self._lock:
            dropped, self._waiting = self._waiting, []
        for request in dropped:
            self._answer(RequestCancelled(request=request.id))

    def _take_in(self, line: bytes) -> None:
        try:
            request = decode_request(line)
        except InputError as error:
            self._answer(Refused(reason=str(error)))
            return
        if isinstance(request, Cancel):
            started = time.monotonic()
            self._cancel(lambda other: other.id == request.target)
            self._answer(RequestDone(request=request.id, seconds=time.monotonic() - started))
            return
        opens = isinstance(request, OpenStudy)
        self._cancel(lambda other: opens or type(other) is type(request))
        with self._lock:
            self._waiting.append(request)
        self._bell.put(None)

    def _cancel(self, chosen: Callable[[AnyRequest], bool]) -> None:
        with self._lock:
            dropped = [request for request in self._waiting if chosen(request)]
            self._waiting = [request for request in self._waiting if not chosen(request)]
            self._unwanted.update(request.id for request in self._running.values() if chosen(request))
        for request in dropped:
            self._answer(RequestCancelled(request=request.id))
