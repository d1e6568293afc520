"""What a scan on a cluster costs: a discrete-event simulation of the driver's loop, with failures and slow workers.

Shards are handed to whichever worker is free; a worker that dies comes back after `start` + `load`, and its shard is
scanned once more; finished shards are merged by the very tree that the driver uses.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

from headtorch.core.scale.tree import MergeTree, Node


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    start: float  # from the question to a worker that is ready: process, imports
    load: float  # the model, before a worker's first shard
    process: float  # from the first merge that is asked for to a process that merges
    token: float  # on a worker
    shard: float  # of a shard beside its tokens: pilot, arrays, object store
    window: float  # of the corpus, planning a shard's blocks
    merge: float  # of a byte of an index, merging two
    save: float  # of a byte of an index, to a shard's file


@dataclass(frozen=True)
class Plan:
    """A job. `repeated`: tokens that a shard computes beside its own, in the blocks at its borders."""

    tokens: float
    windows: float
    shards: int
    workers: int
    index_bytes: float
    repeated: float = 0.0
    mean_life: float = np.inf  # seconds until a worker dies
    slow_share: float = 0.0  # of the workers
    slow_factor: float = 1.0
    kept: bool = True  # finished shards are written


@dataclass(frozen=True)
class Outcome:
    """Seconds, and deaths of workers."""

    total: float
    scanned: float  # when the last shard was finished
    deaths: int

    def efficiency(self, costs: Costs, plan: Plan) -> float:
        """Seconds that the tokens alone would take, over those that they took."""
        return plan.tokens * costs.token / plan.workers / self.total


def simulate(costs: Costs, plan: Plan, seed: int = 0) -> Outcome:
    """One run."""
    random = np.random.default_rng(seed)
    speed = np.where(random.random(plan.workers) < plan.slow_share, plan.slow_factor, 1.0)
    work = (plan.tokens / plan.shards + plan.repeated) * costs.token
    beside = costs.shard + plan.windows * costs.window + plan.kept * plan.index_bytes * costs.save
    merging = plan.index_bytes * costs.merge
    queue = deque(range(plan.shards))
    tree: MergeTree[float] = MergeTree(plan.shards)
    free = [
        (costs.start * float(speed[worker]), worker, True) for worker in range(plan.workers)
    ]  # (when, who, without a model)
    heapq.heapify(free)
    deaths, scanned = 0, 0.0
    finished: list[tuple[float, int]] = []
    while queue:
        now, worker, fresh = heapq.heappop(free)
        shard = queue.popleft()
        end = now + (fresh * costs.load + work + beside) * float(speed[worker])
        death = now + (random.exponential(plan.mean_life) if np.isfinite(plan.mean_life) else np.inf)
        if death < end:
            deaths += 1
            queue.append(shard)
            heapq.heappush(free, (death + costs.start, worker, True))
            continue
        finished.append((end, shard))
        scanned = max(scanned, end)
        heapq.heappush(free, (end, worker, False))
    ready: float | None = None  # when there is a process that merges
    for end, shard in sorted(finished):
        pair = tree.add(Node(0, shard), end)
        while pair is not None:
            both = max(pair.left, pair.right)
            ready = both + costs.process if ready is None else ready
            pair = tree.add(pair.node, max(both, ready) + merging)
    assert tree.root is not None
    return Outcome(tree.root + plan.index_bytes * costs.save, scanned, deaths)
