"""Wait, in a test, for what a thread or another process brings onto the screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from screens import screen_text
from textual.pilot import Pilot


async def until(pilot: Pilot[Any], condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it is so and drawn; after `seconds` fail with what stands on the screen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, screen_text(pilot.app)
        await pilot.pause(0.02)
    await pilot.pause()
