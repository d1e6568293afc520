"""What people answered when they judged explanations, blind: ratings.jsonl, one answer a line, only ever appended to.

A later answer of the same person to the same question takes the place of the earlier one. An answer is about the words
that were shown: where a head is explained anew, it no longer counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from headtorch.core.errors import StudyError
from headtorch.core.files import open_regular, write_all
from headtorch.core.records import HeadId, NeuronId, Verdict
from headtorch.core.study.contents import RATINGS
from headtorch.core.study.files import storage_errors
from headtorch.core.study.state import ExplainedHead


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Base of the answers; in JSON the field "type" holds the class name."""

    rater: str
    neuron: NeuronId
    head: HeadId
    explainer: str
    words: str  # `digest` of the explanation that was shown

    @property
    def key(self) -> ExplainedHead:
        return self.neuron, self.head, self.explainer


class ExplanationRated(Answer, frozen=True, kw_only=True):
    """How well an explanation fits the examples: 1 not at all, 5 wholly."""

    rating: int


class PromptJudged(Answer, frozen=True, kw_only=True):
    """Whether the head is active on a prompt, by the explanation alone."""

    prompt: int  # in the order of `HeadActivity.active`
    verdict: Verdict  # None: cannot say


AnyAnswer: TypeAlias = ExplanationRated | PromptJudged
Question: TypeAlias = tuple[str, ExplainedHead, str, int | None]  # rater, what of, words, prompt; None: the rating


def question_of(answer: AnyAnswer) -> Question:
    """What was asked; answers to one question replace one another."""
    return answer.rater, answer.key, answer.words, answer.prompt if isinstance(answer, PromptJudged) else None


def digest(text: str) -> str:
    """Tells explanations apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Ratings:
    """The answers of one study. Each is on the disk before the call returns; several people may answer at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RATINGS

    def read(self) -> list[AnyAnswer]:
        """The newest answer to each question, oldest first. Raises StudyError for a damaged file."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StudyError(f"{self._path} cannot be read: {error.strerror}.") from error
        lines = data[: data.rfind(b"\n") + 1].splitlines()
        return _newest(self._answer(number, line) for number, line in enumerate(lines, 1))

    def add(self, answer: AnyAnswer) -> None:
        """Keep an answer. Raises StorageError."""
        with self._alone(), storage_errors(self._path):
            descriptor = open_regular(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                data = self._path.read_bytes()
                os.ftruncate(descriptor, data.rfind(b"\n") + 1)  # the rest of a write that a crash cut short
                write_all(descriptor, msgspec.json.encode(answer) + b"\n")
            finally:
                os.close(descriptor)

    def _answer(self, number: int, line: bytes) -> AnyAnswer:
        try:
            answer: AnyAnswer = msgspec.json.decode(line, type=AnyAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StudyError(
                f"Line {number} of {self._path} is damaged, or of a newer headtorch ({error}); mend it or delete it."
            ) from None
        if isinstance(answer, ExplanationRated) and not 1 <= answer.rating <= 5:
            raise StudyError(f"Line {number} of {self._path} holds a rating that is not 1 to 5; mend it or delete it.")
        return answer

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with storage_errors(self._path):
            descriptor = open_regular(self._path.with_name("ratings.lock"), os.O_RDWR | os.O_CREAT)
        try:
            with storage_errors(self._path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _newest(answers: Iterable[AnyAnswer]) -> list[AnyAnswer]:
    found: dict[Question, AnyAnswer] = {}
    for answer in answers:
        found.pop(question_of(answer), None)
        found[question_of(answer)] = answer
    return list(found.values())
