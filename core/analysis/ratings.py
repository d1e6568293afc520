"""Do people agree with one another and with a judge? Cohen's kappa with an interval that knows of the heads."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

from headtorch.core.analysis.statistics import percentile_interval
from headtorch.core.records import Interval, Record, Verdict

RESAMPLES = 2000


class Agreement(Record, frozen=True, kw_only=True):
    """Two who judged the same prompts. Answers of either that are neither active nor inactive are left out."""

    n: int
    left_out: int
    agreed: float | None  # share of the n
    kappa: float | None  # None: no prompt, or both always said the same one thing
    interval: Interval | None  # 95 %, whole clusters drawn; None with fewer than two of them


def cohens_kappa(
    first: Sequence[Verdict], second: Sequence[Verdict], clusters: Sequence[Hashable], *, seed: int = 0
) -> Agreement:
    """κ = (p_o − p_e)/(1 − p_e): agreement beyond what the two would have if they answered blindly.

    p_o is the share of equal answers, p_e = Σ over active and inactive of the product of how often each says it.
    `clusters`: what each prompt belongs to (its head), whose answers depend on one another.
    """
    answers = list(zip(first, second, clusters, strict=True))
    kept = [(bool(one), bool(other), cluster) for one, other, cluster in answers if None not in (one, other)]
    tables = _tables(kept)
    whole = tables.sum(axis=0)
    n = int(whole.sum())
    kappa = float(_kappas(whole[None])[0]) if n else float("nan")
    return Agreement(
        n=n,
        left_out=len(answers) - n,
        agreed=float(np.trace(whole)) / n if n else None,
        kappa=kappa if np.isfinite(kappa) else None,
        interval=_interval(tables, seed) if np.isfinite(kappa) else None,
    )


def _tables(kept: Sequence[tuple[bool, bool, Hashable]]) -> Float[np.ndarray, "cluster 2 2"]:
    """How often the first said this and the second that, cluster by cluster."""
    numbers = {cluster: i for i, cluster in enumerate(dict.fromkeys(cluster for _, _, cluster in kept))}
    tables = np.zeros((len(numbers), 2, 2))
    for one, other, cluster in kept:
        tables[numbers[cluster], int(one), int(other)] += 1
    return tables


def _kappas(tables: Float[np.ndarray, "table 2 2"]) -> Float[np.ndarray, " table"]:
    n = tables.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.trace(tables, axis1=1, axis2=2) / n
        expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
        kappas: Float[np.ndarray, " table"] = (observed - expected) / (1 - expected)
    return kappas


def _interval(tables: Float[np.ndarray, "cluster 2 2"], seed: int) -> Interval | None:
    clusters = len(tables)
    if clusters < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)
    kappas = _kappas(np.tensordot(drawn.astype(np.float64), tables, axes=1))
    known = kappas[np.isfinite(kappas)]
    return percentile_interval(known) if len(known) >= RESAMPLES / 2 else None
