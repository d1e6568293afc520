"""How busy the device is and how much of its memory is taken, asked of the system and never of torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from headtorch.core.events import DeviceUse

SECONDS = 1.0  # between two events
NOTICEABLE = 0.02  # of the whole, in memory or in work


class DeviceMeter:
    """Gives a DeviceUse when one is due: at most one a second, and only if something changed noticeably."""

    def __init__(self, device: str, uuid: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`uuid` is that of the NVIDIA GPU `device`; without one the machine's processors are measured, as "cpu"."""
        self.device = device
        self._uuid = uuid
        self._clock = clock
        self._asked = -SECONDS
        self._last: DeviceUse | None = None

    def due(self) -> DeviceUse | None:
        """The use now; None when it is too early, little changed, or nothing can be measured here."""
        now = self._clock()
        if now - self._asked < SECONDS:
            return None
        self._asked = now
        use = self.measure()
        if use is None or (self._last is not None and not _differ(self._last, use)):
            return None
        self._last = use
        return use

    def measure(self) -> DeviceUse | None:
        """The use now; None where neither psutil nor NVIDIA's library can tell."""
        if self._uuid is not None and self._nvml is not None:
            return self._gpu()
        return self._processors()

    def _processors(self) -> DeviceUse | None:
        try:
            import psutil
        except ImportError:
            return None
        memory = psutil.virtual_memory()
        return DeviceUse(
            device="cpu",
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            busy=psutil.cpu_percent(interval=None) / 100,  # since the last call
        )

    def _gpu(self) -> DeviceUse | None:
        nvml, handle = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except nvml.NVMLError:
            return None
        return DeviceUse(device=self.device, memory_used=int(memory.used), memory_total=int(memory.total), busy=busy)

    @cached_property
    def _nvml(self) -> Any:
        """NVIDIA's library and its handle of the device; None without them."""
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            return pynvml, pynvml.nvmlDeviceGetHandleByUUID(self._uuid)
        except pynvml.NVMLError:
            return None


def _differ(one: DeviceUse, other: DeviceUse) -> bool:
    total = other.memory_total or 1
    moved = abs(one.memory_used - other.memory_used) / total
    return moved >= NOTICEABLE or abs((one.busy or 0.0) - (other.busy or 0.0)) >= NOTICEABLE
