"""How much of the bare model's speed the scan keeps: tokens a second, the model and nothing else against the index.

    python -m benchmarks.scan [--device cuda]

Bare is the plain Hugging Face module with fused attention, in the same dtype, on the same padded blocks, ending at the
last needed MLP activation. On the CPU headtorch multiplies by another library where that is faster, so the scan can
pass bare; the rows "same products" give bare that library too, and show what the index itself costs: no claim.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from benchmarks.shapes import SHAPES, RandomCorpus, RandomModel
from benchmarks.table import Row, main, not_measured
from benchmarks.timing import in_turns
from headtorch.core.analysis.batching import pad_rows, plan_blocks
from headtorch.core.analysis.observation import ActivationModel
from headtorch.core.analysis.places import WindowedCorpus, WindowTable
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.setup import block_size
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.corpus.encoding import batch_encoder
from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.model.products import fast_products

CPU_SHARE, GPU_SHARE, PEAK_SHARE = 0.9, 0.85, 0.4
ON_GPU = {"gpt2": 8_000_000, "gpt2-large": 2_000_000, "pythia-1.4b": 1_500_000, "Llama-3-8B": 400_000}  # tokens
CONTEXT = 256
DOCUMENTS = 45


class ScanModel(ActivationModel, Protocol):
    """A model with a module to run bare."""

    @property
    def hf(self) -> PreTrainedModel: ...
    @property
    def mlp_output_modules(self) -> list[nn.Module]: ...


class ScanCorpus(WindowedCorpus, Protocol):
    """A corpus of known length."""

    @property
    def n_tokens(self) -> int: ...


class _Reached(Exception):
    """The last needed activation has been seen."""


def read_bare(model: ScanModel, corpus: WindowedCorpus, layers: Sequence[int], *, same_products: bool = False) -> None:
    """Every block through the module, and nothing else."""
    products = fast_products(model.hf) if same_products else nullcontext()
    with torch.inference_mode(), products:
        for rows in _padded(model, corpus, layers):
            _forward(model, rows, max(layers))


def _padded(model: ScanModel, corpus: WindowedCorpus, layers: Sequence[int]) -> list[Tensor]:
    """The rows of every block [row, position], on the host."""
    blocks = plan_blocks(WindowTable.of(corpus), corpus.context, block_size(model, len(layers)))
    return [
        pad_rows([corpus.windows[int(window)].ids for window in block.windows], block.length, torch.device("cpu"))
        for block in blocks
    ]


def _forward(model: ScanModel, rows: Tensor, last: int) -> None:
    def reached(_module: nn.Module, _inputs: tuple[Any, ...]) -> None:
        raise _Reached

    handle = model.mlp_output_modules[last].register_forward_pre_hook(reached)
    try:
        model.hf.base_model(input_ids=rows.to(model.device), use_cache=False)
    except _Reached:
        pass
    finally:
        handle.remove()


def compare(name: str, model: ScanModel, corpus: ScanCorpus, layers: Sequence[int], rounds: int = 1) -> list[Row]:
    """The scan against bare, and on the CPU against bare with the same products; all in turns."""
    on_cpu = model.device.type == "cpu"
    plain, same = (partial(read_bare, model, corpus, layers, same_products=same) for same in (False, True))
    works: list[Callable[[], object]] = [plain, lambda: scan(model, corpus, layers)]
    first = RandomCorpus(2_000, model.facts.d_vocab, corpus.context)
    read_bare(model, first, layers)  # warm up
    scan(model, first, layers)
    bare, scanned, *by_same = in_turns([*works, same] if on_cpu else works, model.device, rounds)
    what = f"scan, {name}, {'all' if len(layers) == model.facts.n_layers else len(layers)} layers"

    def row(label: str, base: float, target: float | None) -> Row:
        figure, baseline = (f"{corpus.n_tokens / seconds:,.0f} tok/s" for seconds in (scanned, base))
        return Row(what, figure, f"{label} {baseline}", base / scanned, target, note=f"{corpus.n_tokens:,} tokens")

    rows = [row("bare", bare, CPU_SHARE if on_cpu else GPU_SHARE)]
    return rows + [row("bare, same products,", seconds, None) for seconds in by_same]


def sotu(model: LanguageModel, folder: Path, documents: int) -> TokenizedCorpus:
    """Some annual messages in the model's tokens."""
    return tokenize(
        open_corpus("sotu", docs=documents),
        batch_encoder(model.tokenizer),
        tokenizer_fingerprint=model.tokenizer_fingerprint,
        first_token=model.facts.first_token,
        context=min(CONTEXT, model.facts.context),
        folder=folder,
    )


def on_cpu() -> list[Row]:
    """The demo model on annual messages; the first layers of gpt2's shape on random tokens."""
    with tempfile.TemporaryDirectory() as folder:
        demo = open_model("demo", device="cpu")
        corpus = sotu(demo, Path(folder), DOCUMENTS)
        found = compare("demo model on sotu", demo, corpus, demo.parse_layers("last:2"))
        found += compare("demo model on sotu", demo, corpus, demo.parse_layers("all"))
    gpt2 = RandomModel("gpt2")
    few = RandomCorpus(30_000, gpt2.facts.d_vocab, context=64)
    return found + compare("shape of gpt2, random weights, the first", gpt2, few, [0, 1])


def on_gpu() -> list[Row]:
    """Published shapes in bf16 with random weights on random tokens."""
    found = []
    for shape, tokens in ON_GPU.items():
        model = RandomModel(shape, "cuda", torch.bfloat16)
        corpus = RandomCorpus(tokens, model.facts.d_vocab, CONTEXT)
        last = model.facts.n_layers - 1
        found += compare(f"shape of {shape}, bf16", model, corpus, [last - 1, last], 3)
        if shape == "gpt2":
            found += compare(f"shape of {shape}, bf16", model, corpus, range(last + 1), 3)
        if shape == "gpt2-large":
            found.append(_share_of_peak(shape, model))
        del model
        torch.cuda.empty_cache()
    return found


def _share_of_peak(shape: str, model: RandomModel) -> Row:
    """Floating-point operations a second of the bare forward pass, as a share of a large matrix product's."""
    last = model.facts.n_layers - 1
    rows = torch.randint(1, model.facts.d_vocab, (128, CONTEXT))
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            _forward(model, rows, last)
        work = [partial(_forward, model, rows, last)] * 10
        [took] = in_turns([lambda: [one() for one in work]], model.device)
    rate, peak = 10 * counter.get_total_flops() / took, matmul_peak()
    figure, best = f"{rate / 1e12:.0f} TFLOP/s", f"matrix product {peak / 1e12:.0f} TFLOP/s"
    return Row(f"bare, shape of {shape}, bf16", figure, best, rate / peak, PEAK_SHARE)


def matmul_peak(size: int = 8192, times: int = 50) -> float:
    """Floating-point operations a second of bf16 products of square matrices on the GPU."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    torch.mm(a, b)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        torch.mm(a, b)
    torch.cuda.synchronize()
    return 2 * size**3 * times / (time.perf_counter() - start)


def rows(device: str = "cpu") -> list[Row]:
    """On the CPU, and on a GPU where one is asked for."""
    if device == "cuda":
        return on_gpu()
    unseen = [not_measured(f"scan, shape of {shape}, bf16, on a GPU", GPU_SHARE) for shape in SHAPES]
    return [*on_cpu(), *unseen, not_measured("bare, shape of gpt2-large, bf16, on a GPU", PEAK_SHARE)]


if __name__ == "__main__":
    main(rows, "scan")
