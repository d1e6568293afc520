"""The loop of a scan on a cluster: shards to idle workers, finished ones into the merge tree, lost ones once more."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headtorch.core import errors
from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.places import WindowTable
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.errors import ClusterError, Interrupted
from headtorch.core.scale.cluster import room
from headtorch.core.scale.corpus import shipped
from headtorch.core.scale.job import AnyTold, Connected, Job, Noted, Refused, Scanned
from headtorch.core.scale.merging import merged
from headtorch.core.scale.shards import ShardFolder, cut, with_table
from headtorch.core.scale.tree import MergeTree, Node
from headtorch.core.scale.worker import ShardScanner

ATTEMPTS = 4  # of one shard, and of one merge
START_SECONDS = 600.0  # until the first worker lives; a cluster may have to fetch a machine
STARTS = 3  # failed ones in a row, with no worker alive
TELL_SECONDS = 0.5
WHOLE = Node(-1, 0)


@dataclass(frozen=True)
class Waiting:
    """What to do with a result: with its value, or when the process or machine that had it is gone."""

    then: Callable[[Any], None]
    lost: Callable[[Exception], None]


class Run:
    """One job on a connected cluster. `scanner` is what workers are made of."""

    def __init__(
        self,
        ray: Any,
        job: Job,
        corpus: TokenizedCorpus,
        *,
        token: str,
        say: Callable[[AnyTold], None] = lambda said: None,
        stopped: Callable[[], bool] = lambda: False,
        scanner: type[ShardScanner] = ShardScanner,
    ) -> None:
        self._ray, self._job, self._say, self._stopped = ray, job, say, stopped
        self._table = WindowTable.of(corpus)
        self._folder = ShardFolder.of(Path(job.index_folder), job.key, job.shards, token)
        self._cuts = cut(len(self._table), job.shards)
        counted = np.concatenate([[0], np.cumsum(self._table.length - 1, dtype=np.int64)])
        self._tokens = [int(counted[shard.stop] - counted[shard.start]) for shard in self._cuts]
        self._size, threads = room(ray, job)
        gpus = 1 if job.device == "cuda" else 0
        actor = ray.remote(scanner).options(num_cpus=threads, num_gpus=gpus, max_concurrency=2)
        self._corpus = ray.put(shipped(corpus))
        self._new_worker: Callable[[], Any] = partial(actor.remote, job, self._corpus, token, threads)
        self._merge = ray.remote(merged).options(num_cpus=0, num_returns=2)
        self._tree: MergeTree[Any] = MergeTree(job.shards)
        self._queue = deque(range(job.shards))
        self._attempts: Counter[Node] = Counter()  # that came to nothing; WHOLE: of fetching the index
        self._dead: Counter[Node] = Counter()  # machines that were gone when the parts of a node were last lost
        self._waiting: dict[Any, Waiting] = {}
        self._workers: list[Any] = []  # all that were started
        self._idle: list[Any] = []
        self._called = 0  # workers that were idle, and are asked whether they live
        self._busy: dict[int, Any] = {}  # shard -> worker
        self._share: dict[int, float] = {}  # of a shard that is under way
        self._asked: set[int] = set()  # shards whose worker was asked how far it is
        self._starting = self._failed_starts = 0
        self._noted: list[Noted] = []
        self._told: Scanned | None = None
        self._began = self._told_at = time.monotonic()

    def index(self) -> ActivationIndex:
        """The whole index.

        Raises ClusterError, what the workers raise, and Interrupted. Finished shards stay in their folder, where that
        is shared; with the whole index they go.
        """
        self._say(Connected(workers=self._size))
        try:
            return self._made()
        finally:
            for worker in self._workers:
                self._ray.kill(worker)

    def _made(self) -> ActivationIndex:
        while True:
            if self._stopped():
                raise Interrupted("The scan was stopped; finished shards are kept.")
            self._staff()
            self._assign()
            self._hear()
            self._tell()
            if self._tree.root is not None:
                whole = self._fetched(self._tree.root)
                if whole is not None:
                    self._tell(at_once=True)
                    return with_table(whole, self._table)

    @property
    def _alive(self) -> int:
        return len(self._idle) + self._called + len(self._busy)

    def _staff(self) -> None:
        """Replace workers that are gone, as far as there is work for them."""
        wanted = min(self._size, len(self._busy) + len(self._queue))
        while self._alive + self._starting < wanted:
            worker = self._new_worker()
            self._workers.append(worker)
            self._starting += 1
            self._waiting[worker.ready.remote()] = Waiting(partial(self._started, worker), self._not_started)
        if self._alive:
            self._began = time.monotonic()
        elif not self._failed_starts and time.monotonic() - self._began > START_SECONDS:
            raise ClusterError(
                "The Ray cluster gave no room for a worker within ten minutes; look with `ray status` what else it "
                "runs, or take fewer CPUs for each with more --workers."
            )

    def _started(self, worker: Any, where: tuple[str, int]) -> None:
        self._starting -= 1
        self._failed_starts = 0
        self._give(worker)

    def _not_started(self, error: Exception) -> None:
        self._starting -= 1
        self._failed_starts += 1
        if self._failed_starts < STARTS or self._alive:
            return
        if "No module named" in str(error):
            raise ClusterError(
                "The workers cannot import headtorch; install the same version of it on every machine of the cluster."
            )
        raise ClusterError(f"No worker starts on the Ray cluster: {_said(error)}.")

    def _assign(self) -> None:
        """Call the idle workers where shards wait; one that has died idle takes no shard with it."""
        while self._queue and self._idle:
            worker = self._idle.pop()
            self._called += 1
            answer = Waiting(partial(self._answered, worker), partial(self._silent, worker))
            self._waiting[worker.ready.remote()] = answer

    def _answered(self, worker: Any, where: tuple[str, int]) -> None:
        self._called -= 1
        self._give(worker)

    def _silent(self, worker: Any, error: Exception) -> None:
        self._called -= 1
        self._ray.kill(worker)

    def _give(self, worker: Any) -> None:
        """The next shard to a worker that was heard of just now."""
        if not self._queue:
            self._idle.append(worker)
            return
        shard = self._queue.popleft()
        windows = self._cuts[shard]
        told, index = worker.scan.options(num_returns=2).remote(windows.start, windows.stop)
        self._busy[shard] = worker
        self._share[shard] = 0.0
        self._waiting[told] = Waiting(partial(self._scanned, shard, index), partial(self._worker_lost, shard))

    def _scanned(self, shard: int, index: Any, told: Noted | Refused | None) -> None:
        self._mind(told)
        self._idle.append(self._busy.pop(shard))
        self._share[shard] = 1.0
        self._asked.discard(shard)
        self._place(Node(0, shard), index)

    def _worker_lost(self, shard: int, error: Exception) -> None:
        worker = self._busy.pop(shard)
        self._asked.discard(shard)
        self._ray.kill(worker)  # one that is only out of reach must not come back
        self._failed(Node(0, shard), f"The workers that scanned shard {shard + 1} of {self._job.shards} died", error)
        self._again(range(shard, shard + 1))

    def _place(self, node: Node, index: Any) -> None:
        pair = self._tree.add(node, index)
        if pair is not None:
            told, both = self._merge.remote(pair.left, pair.right)
            self._waiting[told] = Waiting(partial(self._merged, pair.node, both), partial(self._merge_lost, pair.node))

    def _merged(self, node: Node, both: Any, told: Noted | Refused | None) -> None:
        self._mind(told)
        self._place(node, both)

    def _merge_lost(self, node: Node, error: Exception) -> None:
        below = self._tree.shards_of(node)
        self._parts_lost(node, f"Merging shards {below[0] + 1} to {below[-1] + 1} of {self._job.shards} failed", error)
        self._again(below)

    def _parts_lost(self, node: Node, what: str, error: Exception) -> None:
        """Machines that hold finished parts may die as often as they like; anything else may not."""
        dead = sum(not machine["Alive"] for machine in self._ray.nodes())
        if dead == self._dead[node]:
            self._failed(node, what, error)
        self._dead[node] = dead

    def _failed(self, node: Node, what: str, error: Exception) -> None:
        self._attempts[node] += 1
        if self._attempts[node] == ATTEMPTS:
            raise ClusterError(
                f"{what} {ATTEMPTS} times ({_said(error)}); if memory ran out, take fewer --workers or more --shards. "
                "Finished shards are kept."
            )

    def _again(self, shards: range) -> None:
        """Put shards back that were lost with a worker, or with the machine that held their index."""
        for shard in shards:
            self._share.pop(shard, None)
        self._queue.extendleft(reversed(shards))

    def _mind(self, told: Noted | Refused | None) -> None:
        """Raise what a worker refuses; say once what it notes."""
        if isinstance(told, Refused):
            raise getattr(errors, told.kind, ClusterError)(told.message)
        if told is not None and told not in self._noted:
            self._noted.append(told)
            self._say(told)

    def _hear(self) -> None:
        """Wait for results, at most until it is time to tell the progress."""
        ready, _ = self._ray.wait([*self._waiting], num_returns=1, timeout=TELL_SECONDS)
        more, _ = self._ray.wait([*self._waiting], num_returns=len(self._waiting), timeout=0) if ready else ([], [])
        for ref in more or ready:
            waiting = self._waiting.pop(ref)
            try:
                value = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                if not self._is_loss(error):
                    raise
                waiting.lost(error)
            else:
                waiting.then(value)

    def _fetched(self, root: Any) -> ActivationIndex | None:
        try:
            whole: ActivationIndex = self._ray.get(root)
        except self._ray.exceptions.RayError as error:
            if not self._is_loss(error):
                raise
            self._tree = MergeTree(self._job.shards)
            self._parts_lost(WHOLE, "Fetching the whole index failed", error)
            self._again(range(self._job.shards))
            return None
        return whole

    def _is_loss(self, error: Exception) -> bool:
        """Whether a process or machine is gone, and not the code wrong."""
        exceptions = self._ray.exceptions
        if isinstance(error, exceptions.RayTaskError):
            cause = getattr(error, "cause", None)
            return isinstance(cause, exceptions.RayError) and not isinstance(cause, exceptions.RayTaskError)
        return True

    def _tell(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        for shard in self._busy.keys() - self._asked:
            self._asked.add(shard)
            self._waiting[self._busy[shard].share.remote()] = Waiting(partial(self._heard_share, shard), _ignore)
        done = sum(int(share * self._tokens[shard]) for shard, share in self._share.items())
        said = Scanned(done=done, total=sum(self._tokens), alive=self._alive, workers=self._size)
        if said != self._told:
            self._told = said
            self._say(said)

    def _heard_share(self, shard: int, share: float) -> None:
        if shard in self._asked:  # not finished or lost meanwhile
            self._asked.remove(shard)
            self._share[shard] = min(share, 0.999)


def _ignore(error: Exception) -> None:
    """The worker's scan says the same."""


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
