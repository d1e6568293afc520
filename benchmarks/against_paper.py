"""headtorch against the paper's procedure, on the same texts, neurons and heads, one after the other in one run.

    python -m benchmarks.against_paper [--device cuda]

`benchmarks.paper_method` is the procedure, `tests/benchmarks/test_paper_method.py` shows that both come to the same
numbers. headtorch answers more than it is asked here: it indexes all neurons of the layers whether 20 are studied or
all, and splits the whole pre-activation, not its heads' part alone. On the CPU it also multiplies by another library
where that is faster. On a GPU both run in bf16, with random weights in the shape of gpt2-large.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import torch

from benchmarks.paper_method import PaperMethod
from benchmarks.paper_notebooks import PaperNotebooks
from benchmarks.shapes import RandomModel
from benchmarks.table import Row, main, not_measured
from benchmarks.timing import in_turns
from headtorch.core.analysis.ablation import ablate_heads
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.effects import effects
from headtorch.core.analysis.replacements import replacements
from headtorch.core.analysis.scan import scan
from headtorch.core.analysis.trim import Place, trim
from headtorch.core.causes import Where
from headtorch.core.corpus.corpus import open_corpus
from headtorch.core.corpus.encoding import batch_encoder
from headtorch.core.corpus.tokens import TokenizedCorpus, tokenize
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.loading import open_model
from headtorch.core.records import HeadId, NeuronId

NEURONS, PROMPTS = 20, 20  # studied, and of each of them
WHAT = (
    "scan, 20 neurons",
    "scan, all neurons of the last layers",
    "scan, all neurons",
    "trim, from the short side",
    "trim, by the same bisection",
    "attribution",
    "attribution, the paper's by TransformerLens",
    "ablation everywhere",
    "ablation everywhere, the paper's by TransformerLens",
    "ablation at the end",
    "effects at the end",
)
ON_CPU = (2.0, 6.0, 6.0, 6.0, None, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0)
ON_GPU = (50.0, 50.0, 50.0, 30.0, None, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0)


@dataclass(frozen=True)
class Load:
    """How much is measured: enough for steady figures, little enough for a minute or two."""

    tokens: int  # scanned
    neurons: int  # whose prompts are trimmed and attributed
    ablated: int  # neurons from whose prompts heads are taken away
    heads: int  # taken away there, of those that can feed the neuron
    measured: int  # prompts on which every head is taken away


CPU_LOAD, GPU_LOAD = Load(180_000, 10, 1, 32, PROMPTS), Load(100_000, 10, 1, 40, 2)


class Case:
    """A model and a corpus, and what both methods are asked about them."""

    def __init__(self, model: LanguageModel, corpus: TokenizedCorpus, layers: list[int], load: Load) -> None:
        self.model, self.corpus, self.layers, self.load = model, corpus, layers, load
        self.paper = PaperMethod(model.hf, model.facts.d_vocab)
        self.documents = [window.ids.tolist() for window in corpus.windows]  # each one context long at most

    @cached_property
    def places(self) -> list[Place]:
        """Where some neurons of the last layer fire most, the strongest places of each."""
        index = scan(self.model, self.corpus, self.layers[-1:], top_k=PROMPTS)
        neurons = (NeuronId(self.layers[-1], i) for i in range(self.model.facts.d_mlp))
        tops = ((neuron, index.top(neuron, "explain")) for neuron in neurons)
        firing = ((neuron, top) for neuron, top in tops if len(top) == PROMPTS and top.activation[-1] > 0)
        return [
            Place(neuron, int(document), int(position), int(window), float(activation))
            for neuron, top in islice(firing, self.load.neurons)
            for activation, document, position, window in zip(
                top.activation, top.document, top.position, top.window, strict=True
            )
        ]

    @cached_property
    def contexts(self) -> list[list[int]]:
        """What the model reads up to each place."""
        return [self.documents[one.window][: one.position - self.corpus.windows[one.window].start + 2]
                for one in self.places]  # fmt: skip

    @cached_property
    def prompts(self) -> list[list[int]]:
        """The contexts, trimmed."""
        return [one.token_ids for one in trim(self.model, self.corpus, self.places, method="paper")]

    @property
    def neurons(self) -> list[NeuronId]:
        """Of each prompt."""
        return [place.neuron for place in self.places]

    @cached_property
    def ablated(self) -> list[tuple[NeuronId, list[list[int]]]]:
        """Some neurons, each with its prompts."""
        chosen = list(dict.fromkeys(self.neurons))[: self.load.ablated]
        return [(n, [row for row, own in zip(self.prompts, self.neurons, strict=True) if own == n]) for n in chosen]

    @property
    def measured(self) -> tuple[NeuronId, list[list[int]]]:
        """A neuron with some of its prompts."""
        neuron, rows = self.ablated[0]
        return neuron, rows[: self.load.measured]

    @cached_property
    def heads(self) -> list[HeadId]:
        """Heads that can feed the neurons, evenly over the layers."""
        model = self.model
        eligible = [HeadId(k, i) for i in range(model.facts.n_heads) for k in range(model.facts.n_layers)
                    if model.eligible_heads(self.layers[-1])[k, i]]  # fmt: skip
        return eligible[: self.load.heads]


Work = Callable[[], object]


def scanning(case: Case, layers: Sequence[int], per_layer: int | None = None) -> tuple[Work, Work]:
    """Both scans of the corpus; the paper's for some or all neurons of each layer."""
    neurons = [NeuronId(layer, i) for layer in layers for i in range(case.model.facts.d_mlp)[:per_layer]]
    return (
        partial(case.paper.scan, case.documents, neurons, PROMPTS),
        partial(scan, case.model, case.corpus, layers),
    )


def trimming(case: Case, method: Literal["doubling", "paper"]) -> tuple[Work, Work]:
    """Both cut the same contexts; headtorch as it does by default, or as the paper does."""

    def one_by_one() -> None:
        for place, context in zip(case.places, case.contexts, strict=True):
            case.paper.trim(context, place.neuron, place.full_activation)

    return one_by_one, partial(trim, case.model, case.corpus, case.places, method=method)


def attributing(case: Case, paper: PaperMethod) -> tuple[Work, Work]:
    """Both attribute the trimmed prompts."""

    def one_by_one() -> None:
        for prompt, neuron in zip(case.prompts, case.neurons, strict=True):
            paper.attribution(prompt, neuron)

    return one_by_one, partial(attribute, case.model, case.prompts, case.neurons)


def ablating(case: Case, paper: PaperMethod, *, everywhere: bool) -> tuple[Work, Work]:
    """Both take the same heads away from the trimmed prompts and read prediction and neuron."""

    def one_by_one() -> None:
        for neuron, rows in case.ablated:
            paper.ablate(rows, neuron, 0, case.heads, everywhere=everywhere)

    def together() -> None:
        for neuron, rows in case.ablated:
            where: Where = "all" if everywhere else "last"
            ablate_heads(case.model, rows, neuron, 0, case.heads, replacement="zero-values", where=where)

    return one_by_one, together


def effecting(case: Case) -> tuple[Work, Work]:
    """Both take every head away and read the neuron; the paper's pass goes to the prediction, as it always does."""
    eligible = case.model.eligible_heads(case.layers[-1])
    every = [HeadId(k, i) for k, i in zip(*(axis.tolist() for axis in eligible.nonzero()), strict=True)]
    neuron, rows = case.measured
    by = replacements(case.model, "zero-values")
    return (
        partial(case.paper.ablate, rows, neuron, 0, every, everywhere=False),
        partial(effects, case.model, rows, [neuron] * len(rows), by),
    )


def compare(name: str, case: Case, targets: Sequence[float | None]) -> list[Row]:
    """A row for each of WHAT."""
    device, documents = case.model.device, case.documents
    tokens = sum(map(len, documents)) - len(documents)
    prompts, runs = len(case.prompts), sum(len(rows) for _, rows in case.ablated) * len(case.heads)
    in_all = int(case.model.eligible_heads(case.layers[-1]).sum()) * len(case.measured[1])
    notebooks, every = PaperNotebooks(case.paper), range(case.model.facts.n_layers)
    works = (
        (*scanning(case, case.layers, NEURONS // len(case.layers)), tokens, "token"),
        (*scanning(case, case.layers), tokens, "token"),
        (*scanning(case, every), tokens, "token"),
        (*trimming(case, "doubling"), prompts, "prompt"),
        (*trimming(case, "paper"), prompts, "prompt"),
        (*attributing(case, case.paper), prompts, "prompt"),
        (*attributing(case, notebooks), prompts, "prompt"),
        (*ablating(case, case.paper, everywhere=True), runs, "head and prompt"),
        (*ablating(case, notebooks, everywhere=True), runs, "head and prompt"),
        (*ablating(case, case.paper, everywhere=False), runs, "head and prompt"),
        (*effecting(case), in_all, "head and prompt"),
    )
    case.paper.scan(documents[:2], case.neurons, 1)  # warm up, as finding the places did for headtorch's scan
    found = []
    for what, (paper, own, count, unit), target in zip(WHAT, works, targets, strict=True):
        if unit != "token":
            own()
        before, slow, after = in_turns([own, paper, own], device, rounds=1)
        fast = (before + after) / 2
        figure, baseline = (_rate(seconds, count, unit) for seconds in (fast, slow))
        found.append(
            Row(f"{what}, {name}", figure, f"paper's {baseline}", slow / fast, target, note=f"{count:,} {unit}s")
        )
    return found


def _rate(seconds: float, count: int, unit: str) -> str:
    return f"{count / seconds:,.0f} tok/s" if unit == "token" else f"{1000 * seconds / count:.2f} ms a {unit}"


def sotu(model: LanguageModel, context: int, tokens: int, folder: Path) -> TokenizedCorpus:
    """The first annual messages in the model's tokens."""
    return tokenize(
        open_corpus("sotu"),
        batch_encoder(model.tokenizer),
        tokenizer_fingerprint=model.tokenizer_fingerprint,
        first_token=model.facts.first_token,
        context=context,
        folder=folder,
        tokens=tokens,
    )


def rows(device: str = "cpu") -> list[Row]:
    """The demo model on the CPU, or the shape of gpt2-large on a GPU."""
    demo = open_model("demo", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        if device == "cuda":
            large = RandomModel("gpt2-large", device, torch.bfloat16).hf
            model = LanguageModel.from_hf(large, demo.tokenizer, "gpt2-large")
            corpus = sotu(model, 1024, GPU_LOAD.tokens, Path(folder))
            return compare("shape of gpt2-large", Case(model, corpus, model.parse_layers("last:5"), GPU_LOAD), ON_GPU)
        corpus = sotu(demo, demo.facts.context, CPU_LOAD.tokens, Path(folder))
        found = compare("demo model", Case(demo, corpus, demo.parse_layers("last:2"), CPU_LOAD), ON_CPU)
    unseen = zip(WHAT, ON_GPU, strict=True)
    return found + [not_measured(f"{what}, shape of gpt2-large on a GPU", target) for what, target in unseen]


if __name__ == "__main__":
    main(rows, "against_paper")
