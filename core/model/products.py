"""Matrix products by the faster of the two libraries that PyTorch brings for the CPU.

PyTorch gives fp32 products on the CPU to MKL. On processors that are not Intel's, oneDNN takes less than half the time
(2.1 times as fast on an AMD EPYC, from 4 rows up). What PyTorch offers publicly to reach oneDNN (tensors in its own
layout, convolutions of width 1) copies weights or results on every call; the operator that torch.compile itself puts in
the place of a linear layer copies nothing. It is not public, so it is tried out before it is used, and where it is
missing or does something else the plain product stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

# oneDNN, and PyTorch in front of it, each keep a program for every shape that they have multiplied, half a megabyte
# a piece, a thousand of them. They read these variables when they are first used.
PROGRAMS_KEPT = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}


def fast_products(hf: PreTrainedModel) -> AbstractContextManager[object]:
    """Within it `hf` multiplies by oneDNN, equal up to rounding; it changes nothing where there is no choice.

    Only for work without gradients.
    """
    if hf.device.type == "cpu" and hf.dtype == torch.float32 and _at_hand():
        return _ByOneDnn()
    return nullcontext()


def product(
    x: Float[Tensor, "*place in"], weight: Float[Tensor, "out in"], bias: Float[Tensor, "out"] | None
) -> Float[Tensor, "*place out"]:
    """x Wᵀ + b by oneDNN; the weight may be transposed in memory."""
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))


@cache
def _at_hand() -> bool:
    """Whether both libraries are there and the operator computes the product."""
    libraries = (torch.backends.mkl, torch.backends.mkldnn)
    if not all(library.is_available() for library in libraries):
        return False
    for name, number in PROGRAMS_KEPT.items():
        os.environ.setdefault(name, number)
    x, weight, bias = torch.arange(30.0).view(2, 3, 5), torch.arange(20.0).view(5, 4).T, torch.arange(4.0)
    try:
        with torch.no_grad():
            return all(torch.equal(product(x, weight, b), functional.linear(x, weight, b)) for b in (bias, None))
    except (AttributeError, RuntimeError, TypeError):
        return False


class _ByOneDnn(TorchFunctionMode):
    """Takes the calls that nn.Linear and the Conv1D of GPT-2 make."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not kwargs and func is functional.linear and _suits(args[0], args[1]):
            return product(args[0], args[1], args[2] if len(args) > 2 else None)
        if not kwargs and func is torch.addmm and _suits(args[1], args[2]) and args[0].ndim == 1:
            return product(args[1], args[2].T, args[0])
        return func(*args, **(kwargs or {}))


def _suits(x: Tensor, weight: Tensor) -> bool:
    """Not where gradients are wanted, which the operator has not, nor where the weight is a slice of a larger one.

    For slices oneDNN takes hundreds of times as long.
    """
    if torch.is_grad_enabled():
        return False
    whole = weight.is_contiguous() or weight.T.is_contiguous()
    return whole and x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0
