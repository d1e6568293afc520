"""What a worker does: it holds the model and scans shards. No ray here; the driver makes an actor of it."""

from __future__ import annotations

import os
import socket
from functools import cached_property
from pathlib import Path

import torch

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.places import WindowedCorpus, WindowTable
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.setup import index_key
from headtorch.core.errors import ClusterError, HeadtorchError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.scale.corpus import ShippedCorpus, opened
from headtorch.core.scale.job import Job, Noted, Refused
from headtorch.core.scale.merging import Outcome, alike
from headtorch.core.scale.shards import ShardFolder, without_table
from headtorch.core.watch import SILENT, Watch

UNLIKE = "Some shards that were kept were made on processors of another kind; they are scanned again."


class HowFar(Watch):
    """Remembers the last progress, for another thread to ask."""

    def __init__(self) -> None:
        self.share = 0.0

    def progress(self, stage: str, done: int, total: int, unit: str = "") -> None:
        self.share = done / total if total else 0.0


class ShardScanner:
    """One model, scanning one shard at a time; `share` may be asked meanwhile.

    `corpus` None: it is read from shared storage. `threads`: of a model on the CPU.
    """

    def __init__(self, job: Job, corpus: ShippedCorpus | None, token: str, threads: int) -> None:
        self._job = job
        self._shipped = corpus
        self._folder = ShardFolder.of(Path(job.index_folder), job.key, job.shards, token)
        self._threads = threads
        self._unlike = False  # whether the present shard was kept by another kind of machine
        self.watch = HowFar()

    def ready(self) -> tuple[str, int]:
        """Where it lives: host and process id."""
        return socket.gethostname(), os.getpid()

    def share(self) -> float:
        """The part of the present shard that is done."""
        return self.watch.share

    def scan(self, start: int, stop: int) -> Outcome:
        """The index of windows start … stop − 1, from the folder of finished shards if it is there."""
        self.watch.share = 0.0
        self._unlike = False
        try:
            shard = self._shard(range(start, stop))
            return Noted(text=UNLIKE) if self._unlike else None, shard
        except HeadtorchError as error:
            return Refused(kind=type(error).__name__, message=str(error)), None

    def _shard(self, windows: range) -> ActivationIndex:
        kept = self._folder.kept(windows)
        if kept is not None and alike(kept, self._empty):
            return kept
        self._unlike = kept is not None
        shard = self._scanned(windows, self.watch)
        self._folder.keep(shard)
        return shard

    def _scanned(self, windows: range, watch: Watch = SILENT) -> ActivationIndex:
        torch.set_num_threads(self._threads)
        job = self._job
        whole = scan(
            self.model,
            self.corpus,
            job.layers,
            top_k=job.top_k,
            seed=job.seed,
            windows=windows,
            table=self._table,
            watch=watch,
        )
        return without_table(whole)

    @cached_property
    def _empty(self) -> ActivationIndex:
        """The index of no windows: the bins that this machine's processor gives."""
        return self._scanned(range(0))

    @cached_property
    def corpus(self) -> WindowedCorpus:
        """The corpus in the model's tokens."""
        return opened(self._job) if self._shipped is None else self._shipped

    @cached_property
    def _table(self) -> WindowTable:
        return WindowTable.of(self.corpus)

    @cached_property
    def model(self) -> LanguageModel:
        """The model; raises ClusterError where its index would not be the one that was asked for."""
        job = self._job
        model = open_model(job.model, revision=job.revision, device=job.device, dtype=job.dtype)
        key = index_key(model, self.corpus, tuple(job.layers), top_k=job.top_k, seed=job.seed)
        if key != job.key:
            raise ClusterError(
                f"The worker on {socket.gethostname()} would make another index than this machine ({model.facts.name}, "
                f"{model.facts.dtype} on {_device_name(model.device)}): model files, kind of GPU and versions of "
                "headtorch must be the same on all machines; start headtorch on one of the cluster's own."
            )
        return model


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
