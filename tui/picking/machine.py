"""The devices of this machine and their memory, asked of the system and never of torch."""

from __future__ import annotations

import platform
from dataclasses import dataclass

FLOPS_PER_CORE = 5e10  # the demo model's scan reached 6e10 on each of two


@dataclass(frozen=True)
class Device:
    """A device that a study can run on. Bytes are None where nobody can tell."""

    name: str  # what --device takes
    title: str
    free: int | None = None
    total: int | None = None
    flops: float = 2e13  # multiplications and additions a second that a scan gets out of it, roughly: a GPU's

    @property
    def is_cpu(self) -> bool:
        """Whether weights become float32 there."""
        return self.name == "cpu"


def devices() -> list[Device]:
    """The processors, then GPUs."""
    return [_cpu(), *_nvidia(), *_apple()]


def meant_by(name: str, there: list[Device]) -> Device:
    """The device a name stands for; "auto" takes the first GPU where there is one."""
    gpus = [device for device in there if not device.is_cpu]
    if name == "auto":
        return gpus[0] if gpus else there[0]
    wanted = "cuda:0" if name == "cuda" else name
    return next((device for device in there if device.name == wanted), Device(name, "not found"))


def _cpu() -> Device:
    try:
        import psutil
    except ImportError:
        return Device("cpu", "processors", flops=FLOPS_PER_CORE)
    memory = psutil.virtual_memory()
    cores = len(psutil.Process().cpu_affinity() or []) if hasattr(psutil.Process, "cpu_affinity") else 0
    cores = cores or psutil.cpu_count() or 1
    return Device(
        "cpu", f"{cores} core{'s' * (cores > 1)}", int(memory.available), int(memory.total), cores * FLOPS_PER_CORE
    )


def _nvidia() -> list[Device]:
    try:
        import pynvml
    except ImportError:
        return []
    found = []
    try:
        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory, title = pynvml.nvmlDeviceGetMemoryInfo(handle), pynvml.nvmlDeviceGetName(handle)
            text = title.decode(errors="replace") if isinstance(title, bytes) else str(title)
            found.append(Device(f"cuda:{number}", text.removeprefix("NVIDIA "), int(memory.free), int(memory.total)))
    except pynvml.NVMLError:
        return found
    return found


def _apple() -> list[Device]:
    here = platform.system() == "Darwin" and platform.machine() == "arm64"
    return [Device("mps", "Apple GPU")] if here else []
