"""The command palette: every command of the screen under it, and the themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode
from textual.markup import escape
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from headtorch.core.text import visible
from headtorch.tui.keymap import COMMANDS, Command
from headtorch.tui.keys import key_names


@dataclass(frozen=True)
class Entry:
    """One line of the palette."""

    text: str
    about: str
    run: Callable[[], Any]


class CommandScreen(CommandPalette):
    """Textual's palette, where a key for the list may come before the list has been laid out."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError, IndexError):
            super()._action_command_list(action)


class HeadtorchCommands(Provider):
    """Finds commands by their help, such as "expl" → "explain the selected head …"."""

    async def startup(self) -> None:
        """The cursor of the palette's field does not blink: an idle terminal gets no bytes."""
        if isinstance(self.app.screen, CommandPalette):
            self.app.screen.query_one(Input).cursor_blink = False

    async def discover(self) -> Hits:
        """Everything, before something was typed."""
        for entry in self._entries():
            yield DiscoveryHit(Text(entry.text), entry.run, text=entry.text, help=escape(entry.about))

    async def search(self, query: str) -> Hits:
        """What matches, the best first."""
        matcher = self.matcher(query)
        for entry in self._entries():
            score = matcher.match(entry.text)
            if score > 0:
                yield Hit(score, Text(entry.text), entry.run, text=entry.text, help=escape(entry.about))

    def _entries(self) -> Iterator[Entry]:
        for command, target in commands_on(self.screen):
            run = partial(run_command, self.app, self.screen, command, target)
            yield Entry(visible(command.help), self._about(command), run)
        themes = getattr(self.app, "themes", None)
        for name in getattr(themes, "names", []):
            about = str(getattr(themes.palette(name), "about", "")) if themes is not None else ""
            yield Entry(f"theme: {visible(name)}", visible(about), partial(setattr, self.app, "theme", name))

    def _about(self, command: Command) -> str:
        keys = self.app._keymap.get(command.id, command.keys)
        return f"{key_names(keys)}  {command.place}"


def commands_on(screen: Screen[Any]) -> Iterator[tuple[Command, DOMNode]]:
    """The commands for the palette with the node that has their action: the application, the screen or a pane of it."""
    focused = [] if screen.focused is None else [screen.focused]
    nodes: list[DOMNode] = [*focused, *screen.query(Widget), screen, screen.app]
    holds = {node: _ids(node) for node in nodes}
    for command in COMMANDS:
        if command.palette:
            target = next((node for node in nodes if command.id in holds[node]), None)
            if target is not None:
                yield command, target


async def run_command(app: App[Any], screen: Screen[Any], command: Command, target: DOMNode) -> None:
    """Do it as if its key had been pressed in its place; a command that is off now says so."""
    if isinstance(target, Widget) and not isinstance(target, Screen) and target.can_focus:
        number, focus_pane = getattr(target, "number", None), getattr(screen, "focus_pane", None)
        if number is not None and focus_pane is not None:
            focus_pane(number)
        else:
            target.focus()
    if not await app.run_action(command.action, default_namespace=target):
        app.notify(f"“{command.label}” cannot be done now.", markup=False, severity="warning")


def _ids(node: DOMNode) -> set[str | None]:
    declared = (binding for cls in type(node).__mro__ for binding in cls.__dict__.get("BINDINGS", ()))
    return {binding.id for binding in declared if isinstance(binding, Binding)}
