"""What a scan and the discovery of neurons hold in memory, and what that grows with.

    python -m benchmarks.memory [--device cuda]

Each case runs in a process of its own. Counted is what comes on top of the model, the corpus and the libraries: on the
CPU the highest resident set of the process, on a GPU what torch has allocated there. A resident set varies by a tenth
from run to run with what malloc keeps for later; the lowest of four runs counts.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import cast

import torch

from benchmarks.scan import read_bare
from benchmarks.shapes import RandomCorpus
from benchmarks.table import Row, main
from headtorch.core.analysis.congruence import Unembedding, layer_congruence
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.setup import block_size
from headtorch.core.engine.peak_memory import PeakMemory
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model

GROWTH = 1.05
TOKENS = 100_000
RUNS = 4
MEBIBYTE = 2**20


def added(work: Callable[[], object]) -> int:
    """Bytes that the work holds at its peak, on top of what is there already."""
    gc.collect()
    memory = PeakMemory()
    memory.reset()
    before = memory.bytes()
    work()
    return memory.bytes() - before


def of_scan(device: str, times: int) -> int:
    """Of the scan of two layers of the demo model, over `times` as many documents."""
    model = open_model("demo", device=device)
    corpus = RandomCorpus(times * TOKENS, model.facts.d_vocab, 256)
    model.mlp_activations(torch.zeros(1, 8, dtype=torch.long), [0])
    return added(lambda: scan(model, corpus, model.parse_layers("last:2")))


def of_batch(device: str, _times: int) -> int:
    """Of one block of the same scan through the bare model."""
    model = open_model("demo", device=device)
    layers = model.parse_layers("last:2")
    corpus = RandomCorpus(block_size(model, len(layers)), model.facts.d_vocab, 256)
    model.mlp_activations(torch.zeros(1, 8, dtype=torch.long), [0])
    return added(lambda: read_bare(model, corpus, layers, same_products=True))


def of_discovery(device: str, times: int) -> int:
    """Of the congruence of a layer with the vocabulary, `times` as many neurons and `times` as many tokens."""
    neurons, tokens, d_model = 1024 * times, 16_384 * times, 64
    unembedding = torch.randn(d_model, tokens, device=device)
    facts = SimpleNamespace(d_mlp=neurons, d_vocab=tokens, d_model=d_model, norm="layer", gated=False)
    written = torch.randn(neurons, d_model, device=device)
    weights = SimpleNamespace(
        facts=facts,
        device=torch.device(device),
        unembedding=lambda chosen: unembedding[:, chosen],
        write_directions=lambda _layer: written,
    )
    model = cast(LanguageModel, weights)
    return added(lambda: layer_congruence(model, Unembedding(model), 0))


def apart(work: Callable[[str, int], int], device: str, times: int = 1) -> int:
    """The result of a case, the lowest of some runs, each in a process of its own."""
    found = []
    for _ in range(RUNS):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(work, device, times).result())
    return min(found)


def flat(what: str, large: int, small: int, note: str) -> Row:
    """A case must not need more than the same with less to do."""
    return Row(what, mebibytes(large), mebibytes(small), large / small, GROWTH, at_least=False, note=note)


def mebibytes(count: float) -> str:
    return f"{count / MEBIBYTE:,.0f} MiB"


def rows(device: str = "cpu") -> list[Row]:
    """Growth with the corpus, growth with neurons and vocabulary, and the peak against one batch."""
    scans, discoveries = "memory of a scan, 4 × the corpus", "memory of discovery, 4 × the neurons, 4 × the tokens"
    short, long, batch = apart(of_scan, device), apart(of_scan, device, 4), apart(of_batch, device)
    few, many = apart(of_discovery, device), apart(of_discovery, device, 4)
    return [
        flat(scans, long, short, f"demo model, {4 * TOKENS:,} tokens, on top of the model"),
        Row("the same", mebibytes(long), f"one bare batch {mebibytes(batch)}", long / batch, None,
            note="with the index of 4,096 neurons under way"),
        flat(discoveries, many, few, "4,096 neurons, 65,536 tokens, on top of their weights"),
    ]  # fmt: skip


if __name__ == "__main__":
    main(rows, "memory")
