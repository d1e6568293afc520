"""Are different heads active on different top prompts, or does selection by the sum make it look so?

Prompts chosen for a large sum make its parts trade off: of two independent heads, either alone is enough to get a
prompt to the top. So what is seen among the top is compared with the same heads made independent: each head's scores
permuted over the random positions, on its own, and the top selected again by the sum. With f_h the share of the top on
which head h is active (s·(A − Ā) > 2·sd, both over the random positions, which permuting leaves as they are):

    variety = Σ_h 4·f_h·(1 − f_h)

A head active on half of the top counts 1, one active on all or none of it 0. Heads that exclude each other, though each
is active often, make more variety than independent heads, whose top holds the positions where they come together. (The
correlation of heads over the top would not tell: under a nearly constant sum it is negative however they arise.)
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from headtorch.core.analysis.activity import active_heads
from headtorch.core.analysis.statistics import percentile_interval
from headtorch.core.records import ContextVariety

PERMUTATIONS = 500
TOP_SHARE = 8  # the top is one in so many positions
SPLIT = (0.25, 0.75)  # share of the top from which, and to which, a head counts as split

Array = NDArray[np.float64]


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
    independent of each other and of the rest.
    """
    n, n_heads = scores.shape
    if n < 16 or n_heads < 2:
        return None
    count = max(2, n // TOP_SHARE) if top is None else top
    signed = sign * scores.astype(np.float64)
    mean, sd = signed.mean(0), signed.std(0, ddof=1)
    active = active_heads(signed[:, None], mean[None], sd[None])[:, 0]  # position head
    others = sign * rest.astype(np.float64)
    draw = np.random.default_rng(seed)
    observed = _shares(signed.sum(1) + others, active, count)
    null = np.empty((permutations, n_heads))
    for i in range(permutations):
        order = draw.random((n, n_heads)).argsort(0)  # each head's own
        total = np.take_along_axis(signed, order, 0).sum(1) + others
        null[i] = _shares(total, np.take_along_axis(active, order, 0), count)
    variety, varieties = _variety(observed), _variety(null)
    return ContextVariety(
        n=n,
        top=count,
        variety=float(variety),
        null_mean=float(varieties.mean()),
        null=percentile_interval(varieties),
        p=(1 + int((varieties >= variety - 1e-12).sum())) / (1 + permutations),
        split=int(_split(observed)),
        split_null=percentile_interval(_split(null)),
    )


def _shares(total: Float[np.ndarray, " position"], active: NDArray[np.bool_], count: int) -> Float[np.ndarray, " head"]:
    chosen = np.argsort(-total, kind="stable")[:count]
    return np.asarray(active[chosen].mean(0))


def _variety(shares: Float[np.ndarray, "*draw head"]) -> Array:
    found: Array = (4 * shares * (1 - shares)).sum(-1)
    return found


def _split(shares: Float[np.ndarray, "*draw head"]) -> Array:
    found: Array = ((shares >= SPLIT[0]) & (shares <= SPLIT[1])).sum(-1).astype(np.float64)
    return found
