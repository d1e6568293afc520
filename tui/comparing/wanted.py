"""What a comparison leads to: a study, opened at a neuron."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from headtorch.core.records import HeadId, NeuronId


@dataclass(frozen=True)
class OpenAt:
    """A study to open, and the neuron and head to look at there."""

    where: str
    neuron: NeuronId | None = None
    head: HeadId | None = None


class StudyWanted(Message):
    """A study is to be opened in the place of the one that is open."""

    def __init__(self, at: OpenAt) -> None:
        super().__init__()
        self.at = at
