"""How much of a pre-activation the heads give, and how much everything else, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headtorch.tui.panes.figures import percent, small

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READS = ("gate", "up")
_OTHERS = ("embed", "position", "attention_bias", "mlps", "bias")


def parts_in_words(arrays: Mapping[str, NDArray[np.generic]], prompt: int | None) -> list[str]:
    """ "heads 71 % of Σ", "other parts 29 %", "error 2e-7", of one prompt or of the mean over all.

    Σ is the sum of all parts, the pre-activation up to the error, which is |Σ − pre-activation| / Σ|parts|. A gated
    neuron has a Σ for its gate and one for its up.
    """
    import numpy as np

    if any(name not in arrays for name in ("heads", "pre_activation", *_OTHERS)):
        return []
    pick = slice(None) if prompt is None else slice(prompt, prompt + 1)
    parts = {name: np.asarray(arrays[name][pick], dtype=np.float64) for name in ("heads", *_OTHERS)}
    observed = np.asarray(arrays["pre_activation"][pick], dtype=np.float64)  # prompt read
    if not observed.size:
        return []
    sums = {name: np.nansum(part.reshape(*observed.shape, -1), axis=2) for name, part in parts.items()}
    sizes = sum(np.nansum(np.abs(part).reshape(*observed.shape, -1), axis=2) for part in parts.values())
    total = sum(sums.values())
    error = float(np.max(np.abs(total - observed) / np.where(sizes > 0, sizes, 1.0)))
    of_heads, of_all = sums["heads"].mean(axis=0), np.mean(total, axis=0)  # read
    pairs = zip(of_heads.tolist(), of_all.tolist(), strict=True)
    shares = [part / whole if abs(whole) > 1e-9 else float("nan") for part, whole in pairs]
    if len(shares) == 1:
        said = [f"heads {percent(shares[0])} of Σ", f"other parts {percent(1 - shares[0])}"]
    else:
        said = [f"{read}: heads {percent(share)} of Σ" for read, share in zip(READS, shares, strict=False)]
    return [*said, f"error {small(error)}"]
