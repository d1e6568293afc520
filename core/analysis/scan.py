"""One pass over a corpus that builds the activation index of every neuron of some layers.

Why results do not depend on batch size, order, interruption or sharding: which windows go through the model together,
and in which rows, is planned from the corpus alone (`plan_blocks`), never from how the work is cut. A shard or a
resumed run evaluates the same blocks, and so gets the same bits from the same kernels; what it keeps is ranked by keys
with a total order (`running`). `batch_tokens` only says how often the ranking is brought up to date. One exception: a
block that does not fit into the memory of a GPU is split, and the last bits of its activations may then differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch

from headtorch.core.analysis.batching import MemoryGuard, plan_blocks
from headtorch.core.analysis.index import ActivationIndex, index_file_name
from headtorch.core.analysis.observation import ActivationModel, Observer
from headtorch.core.analysis.places import Top, WindowedCorpus, WindowTable
from headtorch.core.analysis.prefetch import ahead
from headtorch.core.analysis.setup import block_size, checked_layers, empty_index, index_key
from headtorch.core.analysis.state import ScanState
from headtorch.core.errors import Interrupted, StorageError
from headtorch.core.records import Half, NeuronId
from headtorch.core.watch import SILENT, Watch

_BEST_SECONDS = 1.0

BestSoFar = Callable[[NeuronId, Half, int], Top]


def scan(
    model: ActivationModel,
    corpus: WindowedCorpus,
    layers: Sequence[int],
    *,
    top_k: int = 128,
    seed: int = 0,
    folder: Path | None = None,
    batch_tokens: int = 32_768,
    windows: range | None = None,
    table: WindowTable | None = None,
    watch: Watch = SILENT,
    checkpoint_seconds: float = 30.0,
    on_best: Callable[[BestSoFar], None] | None = None,
) -> ActivationIndex:
    """Index every neuron of `layers` over the corpus, or over the range `windows` of it (a shard, to be merged).

    The first token and padding are not counted. With a `folder` the work is kept there every `checkpoint_seconds` and
    when it is stopped; the same call goes on from it, or returns the finished index at once. `on_best` is called at
    most once a second, with a function that looks up the best places so far of a (neuron, half, sign). `table` is that
    of the corpus, for who has made it already.

    Raises:
        AddressError: the model has no such layer, or none was given.
        DeviceError: not even one row fits into the device's memory.
        StorageError: the folder is full or cannot be written.
        Interrupted: through `watch`, after saving.
    """
    chosen = checked_layers(layers, model.facts.n_layers)
    wanted = windows if windows is not None else range(len(corpus.windows))
    key = index_key(model, corpus, chosen, top_k=top_k, seed=seed)
    kept = _kept(folder, index_file_name(key, wanted))
    if kept is not None and kept.blocks_left == 0:
        return kept
    table = WindowTable.of(corpus) if table is None else table
    block_tokens = block_size(model, len(chosen))
    blocks = plan_blocks(table, corpus.context, block_tokens, wanted)
    observer = Observer(model, corpus, chosen, table, wanted, seed)
    guard = MemoryGuard()
    with torch.inference_mode():
        if kept is None:
            pilot = observer.pilot_range(block_tokens, guard, watch)
            kept = empty_index(key, model.facts, chosen, table, wanted, pilot, len(blocks), top_k=top_k, seed=seed)
        state = ScanState(kept, observer.home)
        keeper = _Keeper(state, folder, checkpoint_seconds, on_best)
        done, pending = len(blocks) - kept.blocks_left, 0
        sizes = [block.length * len(block.windows) for block in blocks]  # padded tokens
        before = np.cumsum([0, *sizes]).tolist()
        with closing(ahead(observer.read, blocks[done:])) as readings:
            for i, read in enumerate(readings, done):
                keeper.ask(watch, before[i], before[-1], len(blocks) - i)
                observe = partial(observer.observe, read, state.worst(read.block.half))
                for observation in guard.run(len(read.block.windows), observe):
                    state.add(observation)
                pending += sizes[i]
                if pending >= batch_tokens:
                    state.flush()
                    pending = 0
                keeper.look(len(blocks) - i - 1)
        watch.progress("scan", before[-1], before[-1], "tokens")
        return keeper.keep(0)


class _Keeper:
    """Saves the state when it is time to, or when the user stops the scan, and shows the best places so far."""

    def __init__(
        self,
        state: ScanState,
        folder: Path | None,
        seconds: float,
        on_best: Callable[[BestSoFar], None] | None,
    ) -> None:
        self._state, self._folder, self._seconds, self._on_best = state, folder, seconds, on_best
        self._saved = self._shown = time.monotonic()

    def keep(self, blocks_left: int) -> ActivationIndex:
        """Everything so far, written to the folder if there is one."""
        index = self._state.index(blocks_left)
        if self._folder is not None:
            index.save(self._folder)
        self._saved = time.monotonic()
        return index

    def ask(self, watch: Watch, done: int, total: int, blocks_left: int) -> None:
        """Tell the watch how far the scan is; save before an Interrupted goes on."""
        try:
            watch.progress("scan", done, total, "tokens")
            watch.checkpoint()
        except Interrupted:
            self.keep(blocks_left)
            raise

    def look(self, blocks_left: int) -> None:
        """Save and show what is due."""
        if self._folder is not None and time.monotonic() - self._saved >= self._seconds:
            self.keep(blocks_left)
        if self._on_best is not None and time.monotonic() - self._shown >= _BEST_SECONDS:
            self._state.flush()
            self._on_best(self._state.best)
            self._shown = time.monotonic()


def _kept(folder: Path | None, name: str) -> ActivationIndex | None:
    """What an earlier call left in the folder; a file that cannot be read counts as none."""
    if folder is None or not (folder / name).is_file():
        return None
    try:
        return ActivationIndex.load(folder / name)
    except StorageError:
        return None
