"""Datasets on the Hugging Face hub, streamed through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from logging import ERROR
from typing import Any, NamedTuple

from headtorch.core.corpus.readers import Pair, row_pair
from headtorch.core.errors import CorpusError

_TIMEOUT = 10.0  # seconds until the hub counts as unreachable


class HubName(NamedTuple):
    """hf:NAME[:config[:split]]"""

    dataset: str
    config: str | None
    split: str

    def __str__(self) -> str:
        return self.dataset


def parse_hub_name(spec: str) -> HubName:
    """Read "hf:allenai/c4:en:train"; raises CorpusError for anything else."""
    parts = spec.removeprefix("hf:").split(":")
    if not parts[0] or len(parts) > 3:
        raise CorpusError(
            f"{spec!r} does not name a dataset; write it like hf:NAME, hf:NAME:config or hf:NAME:config:split."
        )
    config = parts[1] if len(parts) > 1 and parts[1] else None
    split = parts[2] if len(parts) > 2 and parts[2] else "train"
    return HubName(parts[0], config, split)


def hub_documents(name: HubName, text_field: str) -> Iterator[Pair]:
    """Stream the documents of a dataset.

    The hub is asked once before `datasets` is: that fails in seconds where `datasets` would retry for half a minute.
    Raises CorpusError where the hub, the dataset, its config, split or field is not there.
    """
    with _quiet():
        _ask_hub(name)
        yield from row_documents(open_rows(name), name, text_field)


def row_documents(rows: Iterable[Mapping[str, object]], name: HubName, text_field: str) -> Iterator[Pair]:
    """Rows of a streamed dataset as documents; a stream that breaks off raises CorpusError."""
    label = name.dataset.rpartition("/")[2]
    stream, number = iter(rows), 0
    while True:
        number += 1
        try:
            row = next(stream, None)
        except CorpusError:
            raise
        except Exception as error:  # whatever the network, the decompressor or the parser of that dataset raises
            raise CorpusError(
                f"The stream of {name} broke off after {number - 1} rows ({_first_line(error)}); try again."
            ) from error
        if row is None:
            return
        yield row_pair(dict(row), text_field, f"row {number} of {name}", f"{label}:{number}")


def open_rows(name: HubName) -> Iterable[Mapping[str, object]]:
    """The rows of a dataset, streamed by `datasets`; raises CorpusError where config or split are not there."""
    import datasets

    try:
        rows: Any = datasets.load_dataset(name.dataset, name.config, split=name.split, streaming=True)
    except Exception as error:
        raise CorpusError(
            f"The dataset {name} (config {name.config or 'default'}, split {name.split}) cannot be opened: "
            f"{_first_line(error)}. Name config and split as in hf:{name}:config:split."
        ) from error
    return rows  # type: ignore[no-any-return]


def _ask_hub(name: HubName) -> None:
    """One request: is the hub there, and does it have the dataset?"""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        HfApi().dataset_info(name.dataset, timeout=_TIMEOUT)
    except OfflineModeIsEnabled:
        raise CorpusError(
            f"{name} is on the Hugging Face hub and HF_HUB_OFFLINE is set; unset it, or give a local file or folder."
        ) from None
    except GatedRepoError:
        raise CorpusError(f"{name} is gated: accept its terms on the hub and log in with `hf auth login`.") from None
    except RepositoryNotFoundError:
        raise CorpusError(
            f"The Hugging Face hub has no dataset {name}, or it is private: check the name, "
            "or log in with `hf auth login`."
        ) from None
    except HFValidationError:
        raise CorpusError(
            f"{name.dataset!r} cannot be the name of a dataset; write it like hf:allenai/c4:en."
        ) from None
    except Exception as error:
        raise CorpusError(
            f"The Hugging Face hub cannot be reached for {name} ({_first_line(error)}); check the connection, "
            "or give a local file or folder (.txt, .jsonl, .jsonl.zst, .parquet)."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and retry messages of the libraries off the terminal while the stream is read."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    before = (datasets.logging.get_verbosity(), hub_logging.get_verbosity(), datasets.is_progress_bar_enabled())
    datasets.logging.set_verbosity(ERROR)
    hub_logging.set_verbosity(ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before[0])
        hub_logging.set_verbosity(before[1])
        if before[2]:
            datasets.enable_progress_bars()


def _first_line(error: Exception) -> str:
    return (str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__)[:200]
