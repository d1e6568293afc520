"""How tests ask an engine, and one in a thread of the test with pipes in between."""

from __future__ import annotations

import os
import queue
import threading
from itertools import count
from types import TracebackType
from typing import TypeVar

import msgspec

from headtorch.core.engine.protocol import (
    Answer,
    AnyMessage,
    Happened,
    Request,
    RequestCancelled,
    RequestDone,
    RequestFailed,
    decode_message,
    encode_line,
)
from headtorch.core.engine.server import Engine
from headtorch.core.events import AnyEvent, is_durable

PATIENCE = 60.0
End = RequestDone | RequestFailed | RequestCancelled
A = TypeVar("A", bound=Answer)


class Line:
    """Asks an engine: `line.ask(request)`. Subclasses bring requests to it, and put what it says into `_inbox`."""

    patience = PATIENCE  # seconds for the next message

    def __init__(self) -> None:
        self.heard: list[AnyMessage] = []
        self._inbox: queue.Queue[AnyMessage] = queue.Queue()
        self._ids = count(1)

    def raw(self, line: bytes) -> None:
        """Write a line to the engine."""
        raise NotImplementedError

    def next(self) -> AnyMessage:
        """The next message, whatever it is."""
        message = self._inbox.get(timeout=self.patience)
        self.heard.append(message)
        return message

    def send(self, request: Request) -> int:
        """Send it under a new id, which is given back."""
        number = next(self._ids)
        self.raw(encode_line(msgspec.structs.replace(request, id=number)))
        return number

    def end(self, number: int) -> End:
        """How a request ends; everything heard on the way stays in `heard`."""
        for message in self.heard:
            if isinstance(message, End) and message.request == number:
                return message
        while True:
            message = self.next()
            if isinstance(message, End) and message.request == number:
                return message

    def ask(self, request: Request) -> tuple[list[AnyMessage], End]:
        """Send, and give back all that is said about it before its end, and the end."""
        number = self.send(request)
        end = self.end(number)
        return [one for one in self.heard if getattr(one, "request", None) == number and one is not end], end

    def answer(self, request: Request, kind: type[A]) -> A:
        """The one answer to a request that is done."""
        said, end = self.ask(request)
        assert isinstance(end, RequestDone), end
        [found] = [one for one in said if isinstance(one, kind)]
        return found

    def events(self, request: Request) -> list[AnyEvent]:
        """The durable events of a request that is done."""
        said, end = self.ask(request)
        assert isinstance(end, RequestDone), end
        return [one.event for one in said if isinstance(one, Happened) and is_durable(one.event)]

    def refusal(self, request: Request) -> str:
        """The sentence of a request that fails by the user's doing."""
        _, end = self.ask(request)
        assert isinstance(end, RequestFailed) and not end.bug, end
        return end.message


class Wire(Line):
    """An engine in a thread: `with Wire() as wire`; leaving ends the engine's input and waits for it."""

    def __init__(self) -> None:
        super().__init__()
        reads, writes = os.pipe()
        self._requests_in, self.requests = os.fdopen(reads, "rb"), os.fdopen(writes, "wb")
        reads, writes = os.pipe()
        self._messages, self._messages_in = os.fdopen(reads, "rb"), os.fdopen(writes, "wb")
        self.engine = Engine(self._messages_in)
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def _serve(self) -> None:
        self.engine.run(self._requests_in, warm=False, on_end=lambda: None)
        self._messages_in.close()

    def _listen(self) -> None:
        for line in self._messages:
            self._inbox.put(decode_message(line))

    def __enter__(self) -> Wire:
        self._server.start()
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.requests.close()
        self._server.join(PATIENCE)
        assert not self._server.is_alive()
        self._listener.join(PATIENCE)

    def raw(self, line: bytes) -> None:
        self.requests.write(line)
        self.requests.flush()
