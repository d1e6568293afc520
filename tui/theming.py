"""The themes: those that come with headtorch and the user's own, for drawing by hand and for Textual's widgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from headtorch.core.text import visible
from headtorch.tui.palette import COLOURS, Palette, read_palette

if TYPE_CHECKING:
    from textual.theme import Theme

FIRST = "cave"


@dataclass
class Themes:
    """Palettes by name. A user's theme may take the name of a built-in one and replaces it."""

    problems: list[str] = field(default_factory=list)  # a sentence for each file that cannot be used
    _palettes: dict[str, Palette] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | None = None) -> Themes:
        """The built-in themes, then those of `folder` (the user's); what cannot be used goes to `problems`."""
        themes = cls()
        for file in _theme_files(resources.files("headtorch.themes")):
            themes._add(file)
        if folder is not None:
            try:
                mine = list(_theme_files(folder)) if folder.is_dir() else []
            except OSError as error:
                mine = []
                themes.problems.append(f"The themes in {visible(str(folder))} cannot be read: {error.strerror}.")
            for file in mine:
                themes._add(file)
        return themes

    @property
    def names(self) -> list[str]:
        """The names, the first theme first, then in the order of the alphabet."""
        return sorted(self._palettes, key=lambda name: (name != FIRST, name))

    def palette(self, name: str) -> Palette:
        """The colours of a theme; those of the first for a name that is not there."""
        return self._palettes.get(name) or self._palettes[FIRST]

    def textual(self, name: str) -> Theme:
        """The theme for Textual: its own variables and ours, `$ht-background` and so on."""
        return textual_theme(self.palette(name))

    def _add(self, file: Traversable) -> None:
        try:
            palette = read_palette(file.read_bytes())
        except OSError as error:
            self.problems.append(f"The theme {visible(str(file))} cannot be read: {error.strerror}.")
        except ValueError as error:
            self.problems.append(f"The theme {visible(str(file))} cannot be used: {visible(str(error))}.")
        else:
            self._palettes[palette.name] = palette


def _theme_files(folder: Traversable) -> Iterator[Traversable]:
    """The TOML files of a folder by name; hidden ones are left out."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml") and not file.name.startswith("."):
            yield file


def textual_theme(palette: Palette) -> Theme:
    """Textual's theme of a palette: focus is bright, borders are lines, and the lamp's colour is in no widget."""
    from textual.theme import Theme

    colour = {name: _css(palette, getattr(palette, name)) for name in COLOURS}
    return Theme(
        name=palette.name,
        dark=palette.dark,
        ansi=palette.ansi,
        primary=colour["bright"],
        secondary=colour["token"],
        accent=colour["bright"],
        foreground=colour["text"],
        background=colour["background"],
        surface=colour["surface"],
        panel=colour["surface"],
        boost=colour["surface"],
        success=colour["token"],
        warning=colour["warning"],
        error=colour["warning"],
        variables={f"ht-{name}": value for name, value in colour.items()} | _variables(colour),
    )


def _css(palette: Palette, colour: str) -> str:
    return f"ansi_{colour}" if palette.ansi else colour


def _variables(colour: dict[str, str]) -> dict[str, str]:
    """What Textual would otherwise mix from the primary colour, for its own widgets."""
    background, surface, line = colour["background"], colour["surface"], colour["line"]
    text, quiet, bright = colour["text"], colour["quiet"], colour["bright"]
    of_text = {
        "text": text,
        "text-muted": quiet,
        "text-disabled": quiet,
        "foreground-muted": quiet,
        "foreground-disabled": quiet,
        "text-primary": bright,
        "text-secondary": colour["token"],
        "text-accent": bright,
        "text-success": colour["token"],
        "text-warning": colour["warning"],
        "text-error": colour["warning"],
    }
    of_cursors = {
        "block-cursor-foreground": background,
        "block-cursor-background": bright,
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-foreground": bright,
        "block-cursor-blurred-background": surface,
        "block-cursor-blurred-text-style": "none",
        "block-hover-background": surface,
        "input-cursor-background": bright,
        "input-cursor-foreground": background,
        "input-selection-background": line,
        "input-selection-foreground": bright,
        "screen-selection-background": line,
        "screen-selection-foreground": bright,
    }
    of_edges = {
        "border": bright,
        "border-blurred": line,
        "surface-active": surface,
        "scrollbar": line,
        "scrollbar-hover": quiet,
        "scrollbar-active": quiet,
        "scrollbar-background": background,
        "scrollbar-background-hover": background,
        "scrollbar-background-active": background,
        "scrollbar-corner-color": background,
    }
    of_footer = {
        "footer-foreground": quiet,
        "footer-background": surface,
        "footer-key-foreground": bright,
        "footer-key-background": surface,
        "footer-description-foreground": quiet,
        "footer-description-background": surface,
        "footer-item-background": surface,
        "button-foreground": text,
        "button-color-foreground": background,
        "link-color": bright,
        "link-color-hover": bright,
        "link-background-hover": line,
    }
    of_16_colours = {"ansi-background": background, "ansi-foreground": text}
    headings = {f"markdown-h{level}-color": bright for level in range(1, 7)}
    return of_text | of_cursors | of_edges | of_footer | of_16_colours | headings
