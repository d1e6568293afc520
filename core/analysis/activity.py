"""On which prompts is a head active? And which heads are worth explaining?

The direct attribution A(h) of a head is compared with something: its own baseline on random positions (default), the
other heads of the same prompt (Neo, Cohen and Barez, arXiv 2402.15055), a rank, or a share of the prompt's total.
Suppressing heads, which push the neuron down, are found by the mirror image of the same rules.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from headtorch.core.records import Half, HeadActivity, HeadId, NeuronId

ActivityRule = Literal["baseline", "paper", "top-k", "share"]

DEVIATIONS = 2.0  # standard deviations above the mean that count as active
_DEAD = 1e-6  # of |baseline|: what rounding alone may do to a head whose baseline never varies


def paper_rule_can_fire(n_eligible: int) -> bool:
    """Whether any head can exceed the mean of `n_eligible` heads by 2 of their standard deviations (ddof 1).

    The largest possible z-score among n values is (n − 1)/√n, so with 5 heads or fewer the rule never fires.
    """
    return n_eligible - 1 > DEVIATIONS * math.sqrt(n_eligible)


def active_heads(
    attributions: Float[np.ndarray, "prompt layer head"],
    baseline: Float[np.ndarray, "layer head"],
    deviation: Float[np.ndarray, "layer head"],
    *,
    rule: ActivityRule = "baseline",
    sign: int = 1,
    suppressing: bool = False,
    top_k: int = 3,
    share: float = 0.5,
) -> Bool[np.ndarray, "prompt layer head"]:
    """Which heads are active on which prompts; heads that cannot feed the neuron (nan) never are.

    With s = `sign` of the neuron's activation (−1: a gated neuron that fires negatively), flipped when `suppressing`:
      - baseline: s·(A − Ā) > 2·sd, both measured on random positions, so a label does not depend on other heads
      - paper: s·A > mean + 2·sd of s·A over the eligible heads of the prompt, sd with n − 1 (ddof 1)
      - top-k: the `top_k` largest s·A of the prompt, of those above 0
      - share: the fewest largest s·A that together hold `share` of the prompt's positive s·A
    """
    signed = attributions * (-sign if suppressing else sign)  # prompt layer head
    if rule == "baseline":
        signed_baseline = baseline * (-sign if suppressing else sign)
        active = signed - signed_baseline > DEVIATIONS * deviation + _DEAD * np.abs(baseline)
    elif rule == "paper":
        active = _above_the_others(signed)
    elif rule == "top-k":
        active = _rank_from_top(signed) < top_k
        active &= signed > 0
    else:
        active = _within_share(signed, share)
    found: NDArray[np.bool_] = active & np.isfinite(attributions)
    return found


def _above_the_others(signed: Float[np.ndarray, "prompt layer head"]) -> Bool[np.ndarray, "prompt layer head"]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a prompt without eligible heads
        mean = np.nanmean(signed, axis=(1, 2), keepdims=True)
        deviation = np.nanstd(signed, axis=(1, 2), keepdims=True, ddof=1)
    n_eligible = np.isfinite(signed).sum(axis=(1, 2), keepdims=True)
    possible = n_eligible - 1 > DEVIATIONS * np.sqrt(n_eligible)  # rounding must not let an impossible one through
    above: NDArray[np.bool_] = possible & (signed > mean + DEVIATIONS * deviation)
    return above


def _descending(signed: Float[np.ndarray, "prompt layer head"]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Flattened over heads with nan last, and the stable order from the largest down."""
    flat = np.where(np.isfinite(signed), signed, -np.inf).reshape(len(signed), -1)  # prompt layer·head
    return flat, np.argsort(-flat, axis=1, kind="stable")


def _rank_from_top(signed: Float[np.ndarray, "prompt layer head"]) -> NDArray[np.int64]:
    _, order = _descending(signed)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None, :], axis=1)
    return ranks.reshape(signed.shape)


def _within_share(
    signed: Float[np.ndarray, "prompt layer head"], share: float
) -> Bool[np.ndarray, "prompt layer head"]:
    flat, order = _descending(signed)
    mass = np.take_along_axis(np.maximum(flat, 0.0), order, axis=1)  # prompt rank
    before = np.cumsum(mass, axis=1) - mass
    total = mass.sum(axis=1, keepdims=True)
    within = np.empty_like(order, dtype=bool)
    np.put_along_axis(within, order, (mass > 0) & (before < share * total - 1e-12 * total), axis=1)
    return within.reshape(signed.shape)


def head_activities(
    neuron: NeuronId,
    attributions: Float[np.ndarray, "prompt layer head"],
    halves: Sequence[Half],
    baseline: Float[np.ndarray, "layer head"],
    deviation: Float[np.ndarray, "layer head"],
    *,
    rule: ActivityRule = "baseline",
    sign: int = 1,
    top_k: int = 3,
    share: float = 0.5,
) -> list[HeadActivity]:
    """Activity of every eligible head, once as a supporting and once as a suppressing head.

    Heads whose attributions are nan, and those that are active on no prompt at all, are left out. Prompts keep the
    order of `attributions`; none is skipped.
    """
    if len(halves) != len(attributions):
        raise ValueError(f"{len(attributions)} prompts but {len(halves)} halves.")
    explaining = np.array([half == "explain" for half in halves], dtype=bool)
    found = []
    for suppressing in (False, True):
        active = active_heads(
            attributions, baseline, deviation, rule=rule, sign=sign, suppressing=suppressing, top_k=top_k, share=share
        )
        for layer, index in np.argwhere(active.any(axis=0)):
            labels = active[:, layer, index]
            found.append(
                HeadActivity(
                    neuron=neuron,
                    head=HeadId(int(layer), int(index)),
                    rule=rule,
                    suppressing=suppressing,
                    active=labels.tolist(),
                    explain_share=float(labels[explaining].mean()) if explaining.any() else 0.0,
                    mean_active=_mean(attributions[labels, layer, index]),
                    mean_inactive=_mean(attributions[~labels, layer, index]),
                )
            )
    return found


def _mean(values: Float[np.ndarray, " prompt"]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


@dataclass(frozen=True)
class HeadChoice:
    """Heads sorted by what can be done with them; each list from the strongest contrast down."""

    explained: list[HeadActivity]  # active on some prompts and not on others: a contrast to explain
    always: list[HeadActivity]  # active on nearly all: needs negatives from lower activation bins, see `contrasted`
    rare: list[HeadActivity]  # active on too few prompts to learn from


def choose_heads(activities: Sequence[HeadActivity], *, low: float = 0.25, high: float = 0.75) -> HeadChoice:
    """Heads active on `low` to `high` (both included) of the explaining half's prompts are explained."""
    ordered = sorted(activities, key=lambda one: (-_contrast(one), one.head, one.suppressing))
    return HeadChoice(
        explained=[one for one in ordered if low <= one.explain_share <= high],
        always=[one for one in ordered if one.explain_share > high],
        rare=[one for one in ordered if one.explain_share < low],
    )


def contrasted(always: Sequence[HeadActivity], everywhere: Sequence[HeadActivity], *, lower: int) -> list[HeadActivity]:
    """The always-active heads that prompts from lower activation bins give a contrast, by the rule of `choose_heads`.

    `everywhere` holds activities over the neuron's prompts and `lower` more behind them. Shares stay those of `always`.
    """
    shares = {(one.head, one.suppressing): one.explain_share for one in always}
    return [
        msgspec.structs.replace(one, explain_share=shares[one.head, one.suppressing], lower=lower)
        for one in choose_heads(everywhere).explained
        if (one.head, one.suppressing) in shares
    ]


def _contrast(activity: HeadActivity) -> float:
    """How far apart the active and the inactive prompts' mean attributions are; the active mean alone if all are."""
    return abs((activity.mean_active or 0.0) - (activity.mean_inactive or 0.0))
