"""The colours of the interface and its two heat scales, as styles for drawing by hand."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style

STEPS = 8  # of each heat scale


@dataclass(frozen=True)
class Palette:
    """One theme's colours, as #rrggbb or, in a theme for 16 colours, names of ANSI colours.

    The lamp's colour means light: activation and positive contribution, nothing else.
    """

    name: str
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
    diverging: tuple[str, ...]  # STEPS colours, half of them negative, the strongest at either end
    on_heat: tuple[str, str]  # text on the dimmer and on the brighter half of a scale
    on_diverging: tuple[str, ...]  # text on each step of `diverging`
    ansi: bool = False

    def style(
        self, colour: str = "text", *, on: str | None = None, bold: bool = False, underline: bool = False
    ) -> Style:
        """A style in one of the palette's colours by name, such as "quiet" on "surface"."""
        back = None if on is None else str(getattr(self, on))
        return Style(color=str(getattr(self, colour)), bgcolor=back, bold=bold, underline=underline)

    def heat(self, share: float) -> Style:
        """The background for `share` (0 to 1) of full light, with text that can be read on it."""
        step = heat_step(share)
        return Style(color=self.on_heat[step >= STEPS // 2], bgcolor=self.sequential[step])

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


CAVE = Palette(
    name="cave",
    dark=True,
    background="#0e1217",
    surface="#141a21",
    line="#2b3440",
    text="#d5dbe3",
    quiet="#6b7686",
    bright="#f4f7fb",
    lamp="#f2b83c",
    token="#5fb8a6",
    negative="#5b8def",
    warning="#e2725b",
    sequential=("#141a21", "#33301f", "#534521", "#735b25", "#936f2a", "#b3862f", "#d39e35", "#f2b83c"),
    diverging=("#5b8def", "#44659f", "#2f4568", "#1d2a3c", "#2b2820", "#5f4c25", "#a77f30", "#f2b83c"),
    on_heat=("#d5dbe3", "#0e1217"),
    on_diverging=("#0e1217", "#f4f7fb", "#d5dbe3", "#d5dbe3", "#d5dbe3", "#f4f7fb", "#0e1217", "#0e1217"),
)
