"""Screens that can be left once: a second key on its way would otherwise take the screen below away."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen

Result = TypeVar("Result")


class Page(Screen[Result], Generic[Result]):
    """A whole screen over the workbench."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave with a result; nothing where another screen is on top, or this one is left already or not yet there."""
        return super().dismiss(result) if self.is_active and self.is_mounted else AwaitComplete()


class Dialog(ModalScreen[Result], Page[Result], Generic[Result]):
    """A box or a line over the screen below, which stays in sight."""
