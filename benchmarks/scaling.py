"""Does the cost model of a cluster foretell what runs take? And what does it say of corpora that cannot be run here?

    python -m benchmarks.scaling             # constants, runs with 1 and 2 workers beside their simulation, The Pile
    headtorch's own processes and Ray's need both of two cores: give them to it (nice -n -20) for figures that hold.

Constants are taken apart from the runs that they foretell: tokens, planning, merging and writing in this process, the
start of workers and of the model from a run of one small shard. Runs are wall time, Ray itself being there already.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import torch

from benchmarks.cluster_model import Costs, Plan, simulate
from benchmarks.table import Row, main, not_measured
from benchmarks.timing import seconds
from headtorch.core.analysis.batching import plan_blocks
from headtorch.core.analysis.index import ActivationIndex, merge
from headtorch.core.analysis.index_size import index_bytes
from headtorch.core.analysis.places import WindowTable
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.setup import block_size
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.engine.workspace import Workspace
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.scale.cluster import cluster
from headtorch.core.scale.job import AnyTold, Job, Scanned
from headtorch.core.scale.merging import merged
from headtorch.core.scale.run import Run
from headtorch.core.scale.shards import ShardFolder, cut, without_table
from headtorch.core.settings import Settings

ERROR = 1.25  # what a foretold time may be off by, either way
DOCUMENTS, SHARDS = 40, 8
GPU_RATE = 200_000  # tokens a second of gpt2-large on one GPU: an input, not measured here
PILE = 300e9


@dataclass(frozen=True)
class Sample:
    """A model and a corpus that can be run here."""

    model: LanguageModel
    corpus: TokenizedCorpus
    layers: list[int]

    @property
    def table(self) -> WindowTable:
        return WindowTable.of(self.corpus)

    def padded(self, windows: range) -> int:
        """Tokens that a shard computes."""
        blocks = plan_blocks(self.table, self.corpus.context, block_size(self.model, len(self.layers)), windows)
        return sum(block.length * len(block.windows) for block in blocks)

    def part(self, windows: range) -> ActivationIndex:
        return scan(self.model, self.corpus, self.layers, windows=windows)


def open_sample() -> Sample:
    """From the cache, or into it."""
    workspace = Workspace(Settings(layers="last:2", docs=DOCUMENTS), device="cpu")
    workspace.model.mlp_activations(torch.zeros(1, 8, dtype=torch.long), [0])
    return Sample(workspace.model, workspace.corpus, workspace.layers)


@contextmanager
def sample() -> Iterator[Sample]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADTORCH_CACHE"] = folder
        yield open_sample()


def size(index: ActivationIndex) -> int:
    return sum(array.nbytes for array in vars(without_table(index)).values() if isinstance(array, np.ndarray))


def in_process(one: Sample, folder: Path) -> tuple[Costs, ActivationIndex]:
    """The constants that need no cluster; `start` and `load` are 0."""
    everything, single = range(len(one.corpus.windows)), range(1)
    parts: list[ActivationIndex] = []
    whole = seconds(lambda: parts.append(one.part(everything)))
    small = min(seconds(lambda: one.part(single)) for _ in range(2))
    token = (whole - small) / (one.padded(everything) - one.padded(single))
    shards = [without_table(one.part(windows)) for windows in (range(8), range(8, 16))]
    merging = min(seconds(lambda: merge(*shards)) for _ in range(3))
    began = time.perf_counter()
    shards[0].save(folder)
    writing = time.perf_counter() - began
    bytes_ = size(parts[0])
    costs = Costs(
        start=0.0,
        load=0.0,
        process=0.0,
        token=token,
        shard=max(0.0, small - token * one.padded(single)),
        window=planning(),
        merge=merging / bytes_,
        save=writing / bytes_,
    )
    return costs, parts[0]


_opened: list[Sample] = []


def _open_here() -> None:
    _opened.append(open_sample())


def _scan_here(windows: int) -> float:
    return seconds(lambda: _opened[0].part(range(windows)))


def pace(windows: int) -> tuple[float, float]:
    """Wall seconds for a CPU second of a scan on this machine, alone and beside another scan; no Ray."""
    pool: Any = ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_open_here)
    found: dict[int, list[float]] = {1: [], 2: []}
    with pool:
        for turn, count in enumerate((2, 1, 2, 1, 2)):  # the first opens and warms up both
            began = time.perf_counter()
            worked = [done.result() for done in [pool.submit(_scan_here, windows) for _ in range(count)]]
            if turn:
                found[count].append((time.perf_counter() - began) / float(np.mean(worked)))
    return float(np.mean(found[1])), float(np.mean(found[2]))


def planning(windows: int = 2_000_000) -> float:
    """CPU seconds for a window of the corpus to be passed over when a shard in it is planned."""
    random = np.random.default_rng(0)
    length = np.where(random.random(windows) < 0.3, random.integers(2, 1025, windows), 1024).astype(np.int32)
    table = WindowTable(length, length, length, random.integers(0, 2, windows).astype(np.int8))
    return seconds(lambda: plan_blocks(table, 1024, 32_768, range(1000, 2000))) / windows


def timed(ray: Any, job: Job, one: Sample) -> tuple[float, float]:
    """Seconds until the workers live, and until the index is made."""
    ShardFolder.of(Path(job.index_folder), job.key, job.shards, "benchmark").open()
    began, lived = time.perf_counter(), [0.0]

    def hear(said: AnyTold) -> None:
        if isinstance(said, Scanned) and said.alive == min(said.workers, job.shards) and not lived[0]:
            lived[0] = time.perf_counter() - began

    Run(ray, job, one.corpus, token="benchmark", say=hear).index()
    return lived[0], time.perf_counter() - began


def merging_process(ray: Any, one: Sample) -> float:
    """Seconds until a cluster that is new merges; the runs that follow find the processes there."""
    parts = [without_table(one.part(windows)) for windows in (range(8), range(8, 16))]
    task = ray.remote(merged).options(num_cpus=0)
    began = time.perf_counter()
    ray.get([task.remote(*parts) for _ in range(2)])
    return time.perf_counter() - began


def job_of(one: Sample, key: str, folder: Path, **other: Any) -> Job:
    corpus = one.corpus
    return Job(
        key=key,
        layers=one.layers,
        top_k=128,
        seed=0,
        model="demo",
        revision=None,
        dtype="float32",
        device="cpu",
        device_chosen=True,
        corpus_folder=str(corpus.corpus.folder),
        corpus_spec="sotu",
        corpus_tokens=None,
        tokens_folder=str(corpus.folder),
        context=corpus.context,
        first_token=corpus.first_token,
        index_folder=str(folder / token_hex(4)),
        scratch=str(folder / "ray"),
        address="local",
        **other,
    )


def compared() -> tuple[Costs, list[Row]]:
    """The constants, and runs beside what they foretell."""
    with tempfile.TemporaryDirectory(prefix="headtorch-") as name, sample() as one:
        folder = Path(name)
        costs, whole = in_process(one, folder)
        windows = len(one.corpus.windows)
        shards = cut(windows, SHARDS)
        own = one.padded(range(windows))
        repeated = (sum(map(one.padded, shards)) - own) / SHARDS
        alone, beside_other = pace(windows // 6)
        found = []
        with cluster(job_of(one, whole.key, folder, shards=1, workers=2)) as ray:
            process = merging_process(ray, one)
            lived, first = timed(ray, job_of(one, whole.key, folder, shards=1, workers=1), one)
            scanned = costs.shard + own * costs.token
            costs = replace(costs, start=lived / alone, load=max(0.0, (first - lived) / alone - scanned))
            for workers in (1, 2):
                slow = beside_other if workers == 2 else alone
                plan = Plan(own, windows, SHARDS, workers, size(whole), repeated, slow_share=1.0, slow_factor=slow)
                foretold = simulate(costs, plan).total
                _, taken = timed(ray, job_of(one, whole.key, folder, shards=SHARDS, workers=workers), one)
                off = max(foretold / taken, taken / foretold)
                note = f"{SHARDS} shards, {own:,} tokens; the run against its simulation"
                note += f"; without Ray, {workers} such scans took {slow:.2f} s of wall time for a CPU second"
                what = f"scan on Ray, {workers} worker{'s' * (workers > 1)}"
                found.append(Row(what, f"{taken:.1f} s", f"{foretold:.1f} s", off, ERROR, at_least=False, note=note))
        return replace(costs, process=process), found


def the_pile(costs: Costs) -> list[Row]:
    """300 B tokens with gpt2-large: GPU throughput and the loading of the model are inputs."""
    gpu = replace(costs, token=1 / GPU_RATE, load=60.0, shard=5.0)
    found = []
    for what, layers, workers, other in (
        ("1 GPU, 5 layers", 5, 1, {}),
        ("10 GPUs, 5 layers", 5, 10, {}),
        ("100 GPUs, 5 layers", 5, 100, {}),
        ("100 GPUs, all 36 layers", 36, 100, {}),
        ("100 GPUs, one dies every 15 minutes", 5, 100, {"mean_life": 100 * 900.0}),
        ("100 GPUs, one in ten at half speed", 5, 100, {"slow_share": 0.1, "slow_factor": 2.0}),
    ):
        index = index_bytes(layers * 5120, gated=False, top_k=128, reduced=True)
        plan = Plan(PILE, PILE / 1023, 1024, workers, index, 40 * 32_768.0, **other)
        runs = [simulate(gpu, plan, seed) for seed in range(5)]
        hours = float(np.median([run.total for run in runs])) / 3600
        share = float(np.median([run.efficiency(gpu, plan) for run in runs]))
        deaths = int(np.median([run.deaths for run in runs]))
        note = f"simulated, {GPU_RATE:,} tokens/s a GPU not measured here; index {plan.index_bytes / 1e9:.2f} GB, "
        note += f"{deaths} deaths"
        found.append(Row(f"The Pile, gpt2-large, {what}", f"{hours:.1f} h", "tokens alone", share, None, note=note))
    return found


def rows(device: str = "cpu") -> list[Row]:
    """Runs with one and two workers beside their simulation, then The Pile."""
    if importlib.util.find_spec("ray") is None:
        return [not_measured("scan on Ray", ERROR, "the extra ray is not installed", at_least=False)]
    costs, found = compared()
    told = ", ".join(f"{name} {value:.3g}" for name, value in vars(costs).items())
    return [*found, Row("constants of the cost model", told, "", None, None, note="seconds"), *the_pile(costs)]


if __name__ == "__main__":
    main(rows, "scaling")
