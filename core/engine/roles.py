"""What heads are known as: previous-token, duplicate-token and induction heads, by where they attend.

The score is the share of a head's attention that lies where such a head would look, on random tokens said twice; the
patterns to compare with and the score are those of TransformerLens's head detector.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from headtorch.core.engine.protocol import HeadRoles
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.watch import SILENT, Watch

SEQUENCES = 4
HALF = 50  # random tokens, then the same again


def find_head_roles(model: LanguageModel, request: int, *, seed: int = 0, watch: Watch = SILENT) -> Iterator[HeadRoles]:
    """Scores of every head, the mean over SEQUENCES sequences."""
    from transformer_lens import head_detector as detector

    generator = torch.Generator().manual_seed(seed)
    half = min(HALF, (model.facts.context - 1) // 2)
    shape = (model.facts.n_layers, model.facts.n_heads)
    sums = {
        name: torch.zeros(shape, dtype=torch.float64) for name in ("previous_token", "duplicate_token", "induction")
    }
    for _ in range(SEQUENCES):
        watch.checkpoint()
        once = torch.randint(0, model.facts.d_vocab, (half,), generator=generator).tolist()
        row = model.with_first_token([*once, *once])
        patterns = model.attention_patterns(row).double()  # layer head query key
        ids = torch.tensor([row])
        for name, found in sums.items():
            wanted = getattr(detector, f"get_{name}_head_detection_pattern")(ids).to(patterns)
            found += (share_of(patterns, wanted) / SEQUENCES).cpu()
    yield HeadRoles(request=request, **{name: found.tolist() for name, found in sums.items()})


def share_of(
    patterns: Float[Tensor, "layer head query key"], wanted: Float[Tensor, "query key"]
) -> Float[Tensor, "layer head"]:
    """The share of all attention that lies where `wanted` is 1."""
    return (patterns * wanted).sum((-1, -2)) / patterns.sum((-1, -2))
