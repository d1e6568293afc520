"""What a thread beside a screen has to say is done by the screen itself, in its turn."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message
from textual.message_pump import MessagePump


class Told(Message):
    """Something to do on the screen."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__()
        self.do = do


class Telling(MessagePump):
    """Mixed into a screen. What is told to one that has been left is passed over."""

    def tell(self, do: Callable[[], None]) -> None:
        """Have this done on the screen; may be called from any thread."""
        self.post_message(Told(do))

    def on_told(self, message: Told) -> None:
        """Do it."""
        message.do()
