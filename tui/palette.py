"""The colours of the interface and its two heat scales, as styles for drawing by hand; a theme file is one palette."""

from __future__ import annotations

import re
from importlib import resources

import msgspec
from rich.style import Style

STEPS = 8  # of each heat scale
COLOURS = (
    *("background", "surface", "line", "text", "quiet", "bright"),
    *("lamp", "token", "negative", "warning"),
)
SCALES = ("sequential", "on_sequential", "diverging", "on_diverging")

_HUES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
ANSI_NAMES = frozenset({"default", *_HUES, *(f"bright_{hue}" for hue in _HUES)})
_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class Palette(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One theme's colours, as #rrggbb or, in a theme for 16 colours (`ansi`), names of ANSI colours.

    The lamp's colour means light: activation and positive contribution, nothing else.
    """

    name: str
    about: str
    dark: bool
    background: str
    surface: str
    line: str
    text: str
    quiet: str
    bright: str
    lamp: str
    token: str
    negative: str
    warning: str
    sequential: tuple[str, ...]  # STEPS colours, from nothing to full light
    on_sequential: tuple[str, ...]  # text on each of them
    diverging: tuple[str, ...]  # STEPS colours, half of them negative, the strongest at either end
    on_diverging: tuple[str, ...]  # text on each of them
    ansi: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what is no colour, or a scale of another length."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} is not made of small letters, digits and dashes")
        for scale in SCALES:
            if len(getattr(self, scale)) != STEPS:
                raise ValueError(f"{scale} has {len(getattr(self, scale))} colours, not {STEPS}")
        for field, colour in self.colours():
            if not (colour in ANSI_NAMES if self.ansi else _HEX.fullmatch(colour)):
                wanted = "the name of an ANSI colour such as bright_yellow" if self.ansi else "a colour as #rrggbb"
                raise ValueError(f"{field} is {colour!r}, not {wanted}")

    def colours(self) -> list[tuple[str, str]]:
        """(field, colour) of every colour, the scales' too."""
        plain = [(field, str(getattr(self, field))) for field in COLOURS]
        return plain + [(scale, colour) for scale in SCALES for colour in getattr(self, scale)]

    def style(
        self, colour: str = "text", *, on: str | None = None, bold: bool = False, underline: bool = False
    ) -> Style:
        """A style in one of the palette's colours by name, such as "quiet" on "surface"."""
        back = None if on is None else str(getattr(self, on))
        return Style(color=str(getattr(self, colour)), bgcolor=back, bold=bold, underline=underline)

    def heat(self, share: float) -> Style:
        """The background for `share` (0 to 1) of full light, with text that can be read on it."""
        step = heat_step(share)
        return Style(color=self.on_sequential[step], bgcolor=self.sequential[step])

    def signed_heat(self, share: float) -> Style:
        """The background for `share` (−1 to 1) of the strongest contribution, with text that can be read on it."""
        step = signed_step(share)
        return Style(color=self.on_diverging[step], bgcolor=self.diverging[step])


def heat_step(share: float) -> int:
    """0 to STEPS − 1 for a share of 0 to 1; anything beyond is the end of the scale, nan is 0."""
    return min(STEPS - 1, max(0, int(share * STEPS))) if share == share else 0


def signed_step(share: float) -> int:
    """0 (−1, strongest negative) to STEPS − 1 (+1, strongest positive); the middle two are next to nothing."""
    half = STEPS // 2
    strength = min(half - 1, int(min(1.0, abs(share)) * half)) if share == share else 0
    return half + strength if not share < 0 else half - 1 - strength


def read_palette(text: str | bytes) -> Palette:
    """The palette of a theme file. Raises ValueError, saying in a few words what is wrong with it."""
    try:
        return msgspec.toml.decode(text, type=Palette)
    except msgspec.MsgspecError as error:
        raise ValueError(re.sub(r"^Object ", "it ", str(error).replace("`", ""))) from None


CAVE = read_palette(resources.files("headtorch.themes").joinpath("cave.toml").read_bytes())  # where no theme was chosen
