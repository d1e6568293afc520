"""Events as JSON lines: what a log holds and what the engine says to a front end."""

from __future__ import annotations

import math

import msgspec

from headtorch.core.errors import StudyError
from headtorch.core.events import AnyEvent, DurableEvent, Event, LiveEvent

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class _Tag(msgspec.Struct):
    type: str


class UnknownEvent(StudyError):
    """An event of a type that this version does not know."""


def encode(event: Event) -> bytes:
    """The event as one JSON line, newline included.

    Raises ValueError naming the field that holds a NaN or an infinity (JSON has neither: it would read back as
    missing), and StudyError for text that UTF-8 cannot hold.
    """
    where = first_not_finite(event)
    if where is not None:
        raise ValueError(f"{type(event).__name__}{where} is not a finite number; an event cannot carry it.")
    try:
        return _ENCODER.encode(event) + b"\n"
    except UnicodeEncodeError as error:
        raise StudyError(
            f"{type(event).__name__} cannot be stored: {error.object[:40]!r} is not valid Unicode; "
            "rename the file or clean the text."
        ) from None


def decode(line: bytes | str) -> AnyEvent:
    """Read one line back. Fields that this version does not know are passed over.

    Raises UnknownEvent for a type that this version does not know, StudyError for anything that is not an event.
    """
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        kind = type_of(line)
        if kind is not None and kind not in _NAMES:
            raise UnknownEvent(f"an event of the unknown type {kind[:40]!r}") from None
        raise StudyError(f"not an event: {error}") from None


def first_not_finite(value: object, where: str = "") -> str | None:
    """The path (".validity.lift", ".heads[3].beta") of the first NaN or infinity inside a record; None without one."""
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    if isinstance(value, msgspec.Struct):
        parts = ((f"{where}.{name}", getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, list | tuple):
        kinds = set(map(type, value))
        if kinds <= _HARMLESS or (kinds == {float} and all(map(math.isfinite, value))):
            return None  # long columns of plain values, without a step of the loop below for each
        parts = ((f"{where}[{i}]", item) for i, item in enumerate(value))
    elif isinstance(value, dict):
        parts = ((f"{where}[{key!r}]", item) for key, item in value.items())
    else:
        return None
    return next((found for path, item in parts if (found := first_not_finite(item, path)) is not None), None)


def type_of(line: bytes | str) -> str | None:
    """The type that a line names; None where it is no event at all."""
    try:
        return msgspec.json.decode(line, type=_Tag).type
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_HARMLESS = {str, int, bool, type(None)}
_NAMES = frozenset(cls.__name__ for cls in (*DurableEvent.__subclasses__(), *LiveEvent.__subclasses__()))
