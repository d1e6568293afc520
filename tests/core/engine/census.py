"""What there is in this process that could be left behind: hooks, tensors, objects, threads, files, memory."""

from __future__ import annotations

import ctypes
import gc
import threading
from typing import NamedTuple

import psutil
import torch
from torch import Tensor, nn

from headtorch.core.engine.server import Engine


class Census(NamedTuple):
    """Counts of one moment, garbage collected first."""

    hooks: int  # on the modules of the model
    bridge_hooks: int  # on its copy for inspection, which has some of its own
    tensors: int
    tensor_bytes: int
    objects: int  # that Python's collector knows
    threads: int
    files: int
    allocated: int  # bytes in use of what malloc has taken, whatever lies idle between them; 0 without glibc


def census(engine: Engine) -> Census:
    """Counted now; the engine should be idle."""
    gc.collect()
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in _tensors()}
    process = psutil.Process()
    model = engine.session.loaded_model if engine.session is not None else None
    return Census(
        hooks=_hooks(model.hf) if model is not None else 0,
        bridge_hooks=_hooks(model._inspector.bridge) if model is not None and model._inspector is not None else 0,
        tensors=len(_tensors()),
        tensor_bytes=sum(storages.values()),
        objects=len(gc.get_objects()),
        threads=threading.active_count(),
        files=process.num_fds(),
        allocated=_allocated(),
    )


def _hooks(root: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in root.modules())


def _tensors() -> list[Tensor]:
    return [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]


class _MallInfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()  # noqa: SIM905
    ]


def _allocated() -> int:
    """uordblks + hblkhd: bytes handed out from heaps, and blocks that have pages of their own."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = _MallInfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)
