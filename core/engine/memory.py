"""Running out of memory, on whatever device."""

from __future__ import annotations

import ctypes
import gc
import sys


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory has run out; looks through what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        if isinstance(seen, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def make_room() -> None:
    """Give back the memory that nothing refers to any more, the device's too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc keeps free memory between used blocks otherwise
        trim(0)


def set_aside() -> None:
    """Leave what is there now out of all later collections: imported modules, which stay, cost each 0.3 s."""
    gc.collect()
    gc.freeze()
