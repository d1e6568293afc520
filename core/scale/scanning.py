"""The scan on a Ray cluster, as the rest of headtorch calls it: a driver process, its progress, its end."""

from __future__ import annotations

import importlib.util
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from headtorch.core import errors
from headtorch.core.analysis.index import ActivationIndex, index_file_name
from headtorch.core.analysis.setup import checked_layers, index_key
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.errors import ClusterError, InputError, StorageError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.scale.job import AnyTold, Connected, Failed, Job, Noted, Refused, Scanned, line_of, read_told
from headtorch.core.scale.shards import shard_count
from headtorch.core.settings import ClusterAccess, Settings
from headtorch.core.watch import SILENT, Watch

DRIVER = ("-P", "-m", "headtorch.core.scale.driver")  # -P: a ray.py in the present folder is not Ray
ASK_SECONDS = 0.1  # between two looks at the watch
END_SECONDS = 15.0  # for a driver that was told to stop

GONE = (
    "The Ray cluster is gone: its head node ended, or cannot be reached any more. Finished shards are kept where the "
    "cache is on shared storage; run the same command again to go on."
)


def cluster_from_environment() -> ClusterAccess | None:
    """What HEADTORCH_RAY (auto or HOST:PORT), HEADTORCH_RAY_SHARDS and HEADTORCH_RAY_WORKERS say.

    None without the first. Raises InputError for a number that is none.
    """
    address = os.environ.get("HEADTORCH_RAY")
    if not address:
        return None
    return ClusterAccess(
        address=address, shards=_number("HEADTORCH_RAY_SHARDS"), workers=_number("HEADTORCH_RAY_WORKERS")
    )


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name} is {text[:40]!r}, but should be a number from 1.")
    return int(text)


def scan_on_cluster(
    model: LanguageModel,
    corpus: TokenizedCorpus,
    layers: Sequence[int],
    access: ClusterAccess,
    settings: Settings,
    *,
    folder: Path,
    device: str = "auto",
    watch: Watch = SILENT,
) -> ActivationIndex:
    """The index that `analysis.scan` makes of the whole corpus, made by the workers of a Ray cluster.

    Every ranking, count, histogram and sample is the same; sums (moments) may differ in their last bits. `settings`
    name the model as workers open it; `device` is what the user asked for. Finished shards are kept beside the index in
    `folder`, and found again by the next call with as many shards.

    Raises:
        AddressError: the model has no such layer, or none was given.
        ClusterError: no Ray, no cluster, no workers, or a cluster that was lost.
        Interrupted: through `watch`; finished shards are kept.
    """
    chosen = checked_layers(layers, model.facts.n_layers)
    key = index_key(model, corpus, chosen, top_k=settings.top_k, seed=settings.seed)
    path = folder / index_file_name(key, range(len(corpus.windows)))
    made = _made(path)
    if made is not None:
        return made
    _check_ray()
    _check_device(model)
    with tempfile.TemporaryDirectory(prefix="headtorch-ray-", ignore_cleanup_errors=True) as scratch:
        job = Job(
            key=key,
            layers=list(chosen),
            top_k=settings.top_k,
            seed=settings.seed,
            model=settings.model,
            revision=settings.revision,
            dtype=model.facts.dtype,
            device="cuda" if model.device.type == "cuda" else "cpu",
            device_chosen=device != "auto",
            corpus_folder=str(corpus.corpus.folder.absolute()),
            corpus_spec=corpus.corpus.spec,
            corpus_tokens=corpus.corpus.tokens,
            tokens_folder=str(corpus.folder),
            context=corpus.context,
            first_token=corpus.first_token,
            index_folder=str(folder.absolute()),
            scratch=scratch,
            address=access.address,
            shards=shard_count(access.shards, corpus.n_tokens, len(corpus.windows)),
            workers=access.workers,
        )
        drive(job, watch)
    return ActivationIndex.load(path)


def drive(job: Job, watch: Watch) -> None:
    """Have a driver process do the job; raises as `scan_on_cluster` does."""
    with tempfile.TemporaryFile() as log, _driver(job, log) as driver:
        last: AnyTold | None = None
        alive = -1
        furthest = 0  # lost shards do not take progress back: a count that falls begins the next part of the work
        for said in _heard(driver, watch):
            last = said
            if isinstance(said, Noted):
                watch.note(said.text)
            if isinstance(said, Scanned):
                if said.alive != alive:
                    alive = said.alive
                    watch.progress("workers", said.alive, said.workers, "workers")
                furthest = max(furthest, said.done)
                watch.progress("scan", furthest, said.total, "tokens")
        if isinstance(last, Refused):
            raise getattr(errors, last.kind, ClusterError)(last.message)
        if isinstance(last, Failed):
            raise RuntimeError(f"The driver of the Ray cluster failed:\n{last.text}")
        if isinstance(last, Noted | Connected | Scanned):
            raise ClusterError(GONE)
        if last is None:
            raise ClusterError(f"Ray ended before the scan began: {_last_line(log)}")


@contextmanager
def _driver(job: Job, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The driver, in a session of its own, so that ctrl+c is ours.

    At the end of the block it is gone, with all that it started; waiting for it may be cut short by another ctrl+c.
    """
    command = [sys.executable, *DRIVER]
    driver = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    )
    assert driver.stdin is not None and driver.stdout is not None
    try:
        driver.stdin.write(line_of(job))
        driver.stdin.flush()
        yield driver
    finally:
        try:
            with suppress(OSError):
                driver.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                driver.wait(END_SECONDS)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(driver.pid, signal.SIGKILL)  # first of all: ctrl+c may come once more
            driver.wait()
            driver.stdout.close()


def _heard(driver: subprocess.Popen[bytes], watch: Watch) -> Iterator[AnyTold]:
    """What the driver says until it ends, asking the watch meanwhile."""
    assert driver.stdout is not None
    pipe = driver.stdout.fileno()
    held = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            watch.waiting()
            if not selector.select(ASK_SECONDS):
                continue
            data = os.read(pipe, 1 << 16)
            if not data:
                return
            *lines, held = (held + data).split(b"\n")
            yield from map(read_told, lines)


def _made(path: Path) -> ActivationIndex | None:
    """The index, if it is finished."""
    try:
        index = ActivationIndex.load(path) if path.is_file() else None
    except StorageError:
        return None
    return index if index is not None and index.blocks_left == 0 else None


def _check_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise ClusterError("Ray is not installed; install it with: python -m pip install 'headtorch[ray]'")


def _check_device(model: LanguageModel) -> None:
    if model.device.type not in ("cpu", "cuda"):
        raise ClusterError(f"A Ray cluster scans on CUDA GPUs or CPUs, not on {model.device.type}; add --device cpu.")


def _last_line(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - 65_536))
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "it said nothing.")
