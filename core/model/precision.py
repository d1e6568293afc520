"""A model in half precision computed in fp32, one module at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Inside, forward passes use fp32 copies of the parameters; the parameters themselves stay as they are.

    A module's copies live while it runs: fp32 costs the memory of one module, not that of a second model.
    """
    stored: dict[nn.Module, dict[str, Tensor]] = {}

    def widen(module: nn.Module, _inputs: tuple[Any, ...]) -> None:
        stored[module] = {name: p.data for name, p in module.named_parameters(recurse=False)}
        for p in module.parameters(recurse=False):
            p.data = p.data.float()

    def restore(module: nn.Module, *_seen: Any) -> None:
        for name, data in stored.pop(module, {}).items():
            module.get_parameter(name).data = data

    reduced = [m for m in model.modules() if any(p.dtype != torch.float32 for p in m.parameters(recurse=False))]
    with ExitStack() as stack:
        for module in reduced:
            stack.callback(module.register_forward_pre_hook(widen, prepend=True).remove)
            stack.callback(module.register_forward_hook(restore).remove)
        try:
            yield
        finally:
            for module in [*stored]:
                restore(module)
