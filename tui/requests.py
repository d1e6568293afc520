"""What was asked of the engine: requests without an end yet, and those that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from headtorch.core.engine.protocol import Cancel, Request

UNNUMBERED = 0  # a request that has yet to be asked


class EngineLink(Protocol):
    """How requests reach an engine: the client of a process, or a fake one in tests."""

    def next_id(self) -> int:
        """A number that no earlier request had."""
        ...

    def send(self, request: Request) -> None:
        """Hand a request over; never blocks."""
        ...


@dataclass
class Requests:
    """The requests of one session."""

    engine: EngineLink
    waiting: dict[int, Request] = field(default_factory=dict)
    failed: list[tuple[Request, str]] = field(default_factory=list)  # and what was said, until it is asked again

    def ask(self, request: Request) -> int:
        """Number a request, send it, and remember it until it ends; returns the number."""
        self.failed = [(old, said) for old, said in self.failed if _subject(old) != _subject(request)]
        numbered = msgspec.structs.replace(request, id=self.engine.next_id())
        self.waiting[numbered.id] = numbered
        self.engine.send(numbered)
        return numbered.id

    def end(self, number: int, failure: str | None = None) -> Request | None:
        """The request has its end; returns it where it was waited for."""
        request = self.waiting.pop(number, None)
        if request is not None and failure is not None:
            self.failed.append((request, failure))
        return request

    def is_waiting(self, kind: type[Request]) -> bool:
        """Whether a request of the kind has no end yet."""
        return any(isinstance(request, kind) for request in self.waiting.values())

    def stop(self) -> bool:
        """Cancel all that has no end yet; False where nothing has none."""
        running = list(self.waiting)
        for number in running:
            self.engine.send(Cancel(id=self.engine.next_id(), target=number))
        return bool(running)


def is_same(one: Request, other: Request) -> bool:
    """Whether two requests ask the same, whatever their numbers."""
    return _fields(one) == _fields(other)


def _fields(request: Request) -> tuple[object, ...]:
    return type(request), *(getattr(request, name) for name in request.__struct_fields__ if name != "id")


def _subject(request: Request) -> tuple[object, ...]:
    """The kind of a request, with the neuron and the head that it is about."""
    return type(request), getattr(request, "neuron", None), getattr(request, "head", None)
