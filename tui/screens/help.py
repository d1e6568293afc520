"""What the focused pane shows and which keys do what, with the user's own keys as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from headtorch.core.text import visible
from headtorch.tui.keymap import COMMANDS, bindings, key_of
from headtorch.tui.keys import key_names
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Dialog


@dataclass(frozen=True)
class KeysOf:
    """The keys of one part of the screen: (keys, what they do)."""

    title: str
    keys: list[tuple[str, str]]


class HelpScreen(Dialog[None]):
    """Text and keys to read; escape, q and ? close it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("help")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: transparent; }
    HelpScreen > VerticalScroll {
        width: 92%; max-width: 96; height: auto; max-height: 92%; padding: 0 1;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
        background: $ht-surface; scrollbar-size-vertical: 1;
    }
    HelpScreen .heading { margin-top: 1; }
    HelpScreen Static { height: auto; color: $ht-text; padding: 0 1; }
    """

    def __init__(self, title: str, text: str, keys: list[KeysOf]) -> None:
        super().__init__()
        self._title, self._text, self._keys = title, text, keys

    @classmethod
    def of(cls, screen: Screen[Any], focused: Widget | None) -> HelpScreen:
        """The help for what has the focus: its own `help`, or that of the widget or screen it lies in."""
        chain: list[DOMNode] = [] if focused is None else list(focused.ancestors_with_self)
        explained = [node for node in [*chain, screen] if isinstance(getattr(node, "help", None), str)]
        title = _name_of(explained[0]) if explained else "Keys"
        text = str(getattr(explained[0], "help", "")) if explained else ""
        return cls(title, text, list(active_keys(screen)))

    def compose(self) -> ComposeResult:
        """A box with everything in it."""
        palette: Palette = getattr(self.app, "palette", CAVE)
        with VerticalScroll(can_focus=False):
            if self._text:
                yield Static(Text("\n".join(visible(line) for line in self._text.strip().splitlines())))
            for part in self._keys:
                yield Static(Text(part.title, palette.style("bright", bold=True)), classes="heading")
                yield Static(_table(part, palette))

    def on_mount(self) -> None:
        """Say what it is and how to leave."""
        keymap = self.app._keymap
        scroll = f"{key_of('help.down', keymap)} {key_of('help.up', keymap)}"
        self._scroll.border_title = Content(visible(self._title))
        self._scroll.border_subtitle = Content(f"{scroll} scroll · {key_of('help.close', keymap)} closes")

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one(VerticalScroll)

    def action_close(self) -> None:
        """Back to where the question was asked."""
        self.dismiss()

    def action_scroll(self, lines: int) -> None:
        """By lines."""
        self._scroll.scroll_relative(y=lines, animate=False)

    def action_half_page(self, direction: int) -> None:
        """By half of what fits."""
        self._scroll.scroll_relative(y=direction * max(1, self._scroll.size.height // 2), animate=False)

    def action_end(self, direction: int) -> None:
        """To the top or the end."""
        self._scroll.scroll_to(y=0 if direction < 0 else self._scroll.max_scroll_y, animate=False)


def _table(part: KeysOf, palette: Palette) -> Table:
    """Keys in a column of their own, so that long lines are indented where they go on."""
    table = Table.grid(padding=(0, 3))
    table.add_column(no_wrap=True, min_width=16)
    table.add_column()
    for keys, what in part.keys:
        table.add_row(Text(keys, palette.style("bright")), Text(visible(what), palette.style("text")))
    return table


def active_keys(screen: Screen[Any]) -> Iterator[KeysOf]:
    """What can be pressed now, what has the focus first; each command under the keys that really lead to it."""
    help_of = {command.id: command.help for command in COMMANDS}
    parts: dict[DOMNode, dict[str, tuple[list[str], str]]] = {}
    for key, active in screen.active_bindings.items():
        binding: Binding = active.binding
        if binding.id in help_of:
            part = parts.setdefault(active.node, {})
            part.setdefault(binding.id, ([], help_of[binding.id]))[0].append(key)
    order = {command.id: at for at, command in enumerate(COMMANDS)}
    for node, commands in parts.items():
        ranked = sorted(commands, key=lambda name: (name.startswith("list."), order[name]))
        yield KeysOf(_name_of(node), [(key_names(commands[name][0]), commands[name][1]) for name in ranked])


def _name_of(node: DOMNode) -> str:
    """Everywhere, Neurons, Workbench, Try text …: the class as a reader would say it."""
    if node is node.app:
        return "Everywhere"
    name = type(node).__name__.removesuffix("Pane").removesuffix("Screen")
    return "".join(f" {c.lower()}" if c.isupper() and at else c for at, c in enumerate(name))
