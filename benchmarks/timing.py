"""Time of pieces of work that are compared, taken in turns in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch


def seconds(work: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """CPU time of this process (other work on the machine does not count); wall time on a GPU."""
    on_gpu = torch.device(device).type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize(device)
    start = clock()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return clock() - start


def in_turns(works: Sequence[Callable[[], object]], device: torch.device | str = "cpu", rounds: int = 3) -> list[float]:
    """The median time of each work; they run one after another, `rounds` times, so that drift hits all of them."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for taken, work in zip(times, works, strict=True):
            taken.append(seconds(work, device))
    return [median(taken) for taken in times]
