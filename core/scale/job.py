"""What the driver is asked and what it says back: one JSON line each. No torch and no ray here."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headtorch.core.records import Record


class Job(Record, frozen=True, kw_only=True):
    """An index to be made. Paths hold on this machine, and on the workers where the storage is shared."""

    key: str  # of the index, as this machine would name it
    layers: list[int]
    top_k: int
    seed: int
    model: str
    revision: str | None
    dtype: str
    device: Literal["cpu", "cuda"]
    device_chosen: bool  # by the user, not by what this machine has
    corpus_folder: str
    corpus_spec: str
    corpus_tokens: int | None
    tokens_folder: str
    context: int
    first_token: int | None
    index_folder: str
    scratch: str  # of a cluster that is started for this job
    address: str
    shards: int
    workers: int | None


class Told(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Base of what the driver says."""


class Noted(Told, frozen=True, kw_only=True):
    """A sentence that the user should see."""

    text: str


class Connected(Told, frozen=True, kw_only=True):
    """There is a cluster with room for so many workers."""

    workers: int


class Scanned(Told, frozen=True, kw_only=True):
    """Tokens of the corpus that are indexed, and workers that are alive."""

    done: int
    total: int
    alive: int
    workers: int


class Finished(Told, frozen=True, kw_only=True):
    """The whole index is in the folder."""


class Refused(Told, frozen=True, kw_only=True):
    """An error of `headtorch.core.errors`, by its name."""

    kind: str
    message: str


class Failed(Told, frozen=True, kw_only=True):
    """A bug; the traceback."""

    text: str


AnyTold: TypeAlias = Noted | Connected | Scanned | Finished | Refused | Failed

_ENCODER = msgspec.json.Encoder()
_TOLD: msgspec.json.Decoder[AnyTold] = msgspec.json.Decoder(AnyTold)
_JOB = msgspec.json.Decoder(Job)


def line_of(said: Job | AnyTold) -> bytes:
    """One JSON line."""
    return _ENCODER.encode(said) + b"\n"


def read_job(line: bytes) -> Job:
    """The job of a line."""
    return _JOB.decode(line)


def read_told(line: bytes) -> AnyTold:
    """What the driver said in a line."""
    return _TOLD.decode(line)
