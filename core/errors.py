"""Everything that can go wrong and is not a bug. Each message says what happened and what to do about it.

HeadtorchError
├── InputError              the user asked for something that cannot be; exit code 2
│   ├── ModelError          a model that is not there, cannot be read, or whose decomposition is not exact
│   ├── CorpusError         a corpus that is not there, cannot be read, or is empty
│   ├── TokenError          text that is not one token of the model's vocabulary
│   ├── AddressError        a neuron, head or layer that the model does not have, or a head that cannot feed it
│   ├── DeviceError         a device or dtype that this machine does not have
│   ├── ExplanationError    an explanation or regular expression that cannot be used
│   └── StudyError          a study that is damaged, in use, or asks another question than this one
├── StorageError            the disk is full or a folder cannot be written; exit code 2
├── ClusterError            a Ray cluster that cannot be reached or used, or is gone; exit code 2
├── BudgetReached           a further call to a language model could pass a cap of the user's; exit code 2
└── Interrupted             the user stopped the work; it goes on from the last checkpoint; exit code 130
"""

from __future__ import annotations


class HeadtorchError(Exception):
    """Base of all errors meant for a reader. `exit_code` is what the command line leaves with."""

    exit_code = 2


class InputError(HeadtorchError):
    """The user asked for something that cannot be."""


class ModelError(InputError):
    """A model that is not there, cannot be read, or whose decomposition would not be exact."""


class CorpusError(InputError):
    """A corpus that is not there, cannot be read, or is empty."""


class TokenError(InputError):
    """Text that is not one token of the model's vocabulary."""


class AddressError(InputError):
    """A neuron, head or layer that the model does not have, or a head that cannot feed the neuron."""


class DeviceError(InputError):
    """A device or dtype that this machine does not have."""


class ExplanationError(InputError):
    """An explanation or regular expression that cannot be used."""


class StudyError(InputError):
    """A study that is damaged, in use by another process, or asks another question."""


class StorageError(HeadtorchError):
    """The disk is full, or a folder cannot be written."""


class ClusterError(HeadtorchError):
    """A Ray cluster that cannot be reached or used, or is gone; finished shards are kept."""


class BudgetReached(HeadtorchError):
    """A further call to a language model could pass a cap of the user's; what was answered is kept.

    `for_now`: only because of calls under way, which count with the most that they may cost; there may be room again
    when one of them has ended.
    """

    def __init__(self, message: str, *, for_now: bool = False) -> None:
        super().__init__(message)
        self.for_now = for_now


class Interrupted(HeadtorchError):
    """The user stopped the work; running the same thing again goes on from the last checkpoint."""

    exit_code = 130
