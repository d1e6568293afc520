"""Are different heads behind different top prompts, or does selection by the sum make it look so?

Prompts chosen for a large sum make its parts trade off: of two independent heads, either alone is enough to get a
prompt to the top. So what is seen among the top is compared with the same heads made independent: each head's scores
permuted over the random positions, on its own, and the top selected again by the sum. With x_i the excess A − Ā of
every head on top prompt i, Ā over the random positions,

    variety = mean over pairs of top prompts of 1 − cos(x_i, x_j)

0 where the same heads do the same everywhere, 1 where no two prompts share a head. Heads that exclude each other make
more variety than independent heads, whose top holds the positions where several come together. (The correlation of
heads over the top would not tell: under a nearly constant sum it is negative however they arise.)
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from headtorch.core.analysis.activity import DEVIATIONS
from headtorch.core.analysis.statistics import percentile_interval
from headtorch.core.causes import ContextVariety

PERMUTATIONS = 500
TOP_SHARE = 8  # the top is one in so many positions
SPLIT = (0.25, 0.75)  # share of the top from which, and to which, a head counts as split


def context_variety(
    scores: Float[np.ndarray, "position head"],
    rest: Float[np.ndarray, " position"],
    *,
    sign: int = 1,
    top: int | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> ContextVariety | None:
    """The variety of heads over the top positions, against its null; None with fewer than 2 heads or 16 positions.

    `scores` are the heads' parts of the sum and `rest` is all else in it, at random positions; with `sign` −1 the top
    is that of the smallest sums. p = (1 + null draws of as much variety) / (1 + permutations), exact where heads are
    independent of each other and of the rest. Beside it stands the number of heads that are active on 25-75 % of the
    top, active as `activity` has it: s·(A − Ā) > 2·sd.
    """
    n, n_heads = scores.shape
    if n < 16 or n_heads < 2:
        return None
    count = max(2, n // TOP_SHARE) if top is None else top
    excess = sign * (scores.astype(np.float64) - scores.mean(0, dtype=np.float64))
    others = sign * rest.astype(np.float64)
    threshold = DEVIATIONS * excess.std(0, ddof=1)
    draw = np.random.default_rng(seed)
    variety, split = _among_the_top(excess, others, threshold, count)
    null = np.empty((2, permutations))
    for i in range(permutations):
        null[:, i] = _among_the_top(draw.permuted(excess, axis=0), others, threshold, count)
    return ContextVariety(
        n=n,
        top=count,
        variety=variety,
        null_mean=float(null[0].mean()),
        null=percentile_interval(null[0]),
        p=(1 + int((null[0] >= variety - 1e-12).sum())) / (1 + permutations),
        split=int(split),
        split_null=percentile_interval(null[1]),
    )


def _among_the_top(
    excess: Float[np.ndarray, "position head"],
    others: Float[np.ndarray, " position"],
    threshold: Float[np.ndarray, " head"],
    count: int,
) -> tuple[float, float]:
    """(variety, heads active on 25-75 %) of the positions with the largest sum."""
    chosen = excess[np.argsort(-(excess.sum(1) + others), kind="stable")[:count]]  # top head
    length = np.linalg.norm(chosen, axis=1, keepdims=True)
    unit = chosen / np.where(length > 0, length, 1.0)
    cosine = (float((unit.sum(0) ** 2).sum()) - float((unit**2).sum())) / (count * (count - 1))
    shares = (chosen > threshold).mean(0)
    return 1 - cosine, float(((shares >= SPLIT[0]) & (shares <= SPLIT[1])).sum())
