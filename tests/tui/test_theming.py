"""Themes can be read by eye: contrast in truecolor and in 256 colours, scales in order; a bad theme is a sentence."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem
from rich.color_triplet import ColorTriplet
from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color as TextualColor
from textual.widgets import Footer, Input, OptionList, TabbedContent, TabPane

from headtorch.tui.palette import ANSI_NAMES, CAVE, COLOURS, SCALES, STEPS, Palette, read_palette
from headtorch.tui.theming import Themes

Seen = Callable[[str], ColorTriplet]
THEMES = Themes.load()
TRUECOLOR = [THEMES.palette(name) for name in THEMES.names if not THEMES.palette(name).ansi]
READ_ON_BOTH = ("text", "bright", "quiet", "lamp", "token", "negative", "warning")


def in_truecolor(colour: str) -> ColorTriplet:
    return Color.parse(colour).get_truecolor()


def in_256_colours(colour: str) -> ColorTriplet:
    return Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()


def luminance(colour: ColorTriplet) -> float:
    """Relative luminance of WCAG 2."""
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in colour.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    dim, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dim + 0.05)


seen_in = pytest.mark.parametrize("seen", [in_truecolor, in_256_colours])
each_theme = pytest.mark.parametrize("palette", TRUECOLOR, ids=lambda palette: palette.name)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(in_truecolor("#000000"), in_truecolor("#ffffff")) == pytest.approx(21)
    assert contrast(in_truecolor("#777777"), in_truecolor("#ffffff")) == pytest.approx(4.48, abs=0.01)


def test_there_is_a_theme_for_every_kind_of_terminal_and_eye() -> None:
    assert THEMES.problems == []
    assert THEMES.names[0] == "cave"
    assert {"cave", "paper", "contrast", "colour-blind", "sixteen"} == set(THEMES.names)
    assert not THEMES.palette("paper").dark
    assert THEMES.palette("sixteen").ansi


@seen_in
@each_theme
def test_every_colour_of_the_interface_reads_on_both_backgrounds(palette: Palette, seen: Seen) -> None:
    for name in READ_ON_BOTH:
        for back in ("background", "surface"):
            measured = contrast(seen(getattr(palette, name)), seen(getattr(palette, back)))
            assert measured >= 4.5, f"{name} on {back}"


@seen_in
@each_theme
def test_text_reads_on_every_step_of_both_scales(palette: Palette, seen: Seen) -> None:
    for scale in ("sequential", "diverging"):
        for step in range(STEPS):
            text, back = getattr(palette, f"on_{scale}")[step], getattr(palette, scale)[step]
            assert contrast(seen(text), seen(back)) >= 4.5, f"step {step} of {scale}"


@seen_in
@each_theme
def test_more_light_is_always_further_from_the_background(palette: Palette, seen: Seen) -> None:
    sign = 1 if palette.dark else -1
    sequential = [sign * luminance(seen(colour)) for colour in palette.sequential]
    assert all(low < high for low, high in itertools.pairwise(sequential))
    half = STEPS // 2
    diverging = [sign * luminance(seen(colour)) for colour in palette.diverging]
    for arm in (diverging[:half][::-1], diverging[half:]):
        assert all(low < high for low, high in itertools.pairwise(arm))


@seen_in
@each_theme
def test_negative_and_positive_of_equal_strength_never_look_alike(palette: Palette, seen: Seen) -> None:
    for strength in range(1, STEPS // 2):
        minus, plus = seen(palette.diverging[STEPS // 2 - 1 - strength]), seen(palette.diverging[STEPS // 2 + strength])
        assert minus.blue > minus.red and plus.red > plus.blue


def test_the_theme_for_sixteen_colours_names_ansi_colours_only() -> None:
    palette = THEMES.palette("sixteen")
    assert {colour for _, colour in palette.colours()} <= ANSI_NAMES
    assert len(palette.colours()) == len(COLOURS) + len(SCALES) * STEPS


def test_a_share_has_the_background_of_its_step() -> None:
    assert CAVE.heat(0.0).bgcolor == Color.parse(CAVE.sequential[0])
    assert CAVE.heat(1.0).bgcolor == Color.parse(CAVE.sequential[-1])
    assert CAVE.heat(float("nan")).bgcolor == Color.parse(CAVE.sequential[0])
    assert CAVE.signed_heat(-1.0).bgcolor == Color.parse(CAVE.diverging[0])
    assert CAVE.signed_heat(2.0) == Style(color=CAVE.on_diverging[-1], bgcolor=CAVE.diverging[-1])


def write_theme(folder: Path, name: str, old: str = "", new: str = "") -> Path:
    """A user's theme: the cave's file under another name, with a part replaced."""
    text = (Path(__file__).parents[2] / "themes" / "cave.toml").read_text("utf-8").replace('"cave"', f'"{name}"')
    assert old in text
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(text.replace(old, new), "utf-8")
    return file


def test_a_theme_of_the_user_is_there_beside_the_others(tmp_path: Path) -> None:
    write_theme(tmp_path, "mine", 'text = "#d5dbe3"', 'text = "#ffffff"')
    themes = Themes.load(tmp_path)
    assert themes.problems == []
    assert themes.palette("mine").text == "#ffffff"
    assert themes.textual("mine").variables["ht-text"] == "#ffffff"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('lamp = "#f2b83c"', "", "missing required field lamp"),
        ('lamp = "#f2b83c"', 'lamp = "amber"', "lamp is 'amber', not a colour as #rrggbb"),
        ('lamp = "#f2b83c"', 'lamp = "#f2b83c"\nlanp = "#f2b83c"', "unknown field lanp"),
        ("dark = true", 'dark = "yes"', "Expected bool, got str"),
        ('["#5b8def", ', "[", "diverging has 7 colours, not 8"),
        ('name = "mine"', 'name = "[/red]"', "the name '[/red]'"),
        ("dark = true", "dark = ", "Invalid value"),
    ],
)
def test_a_theme_that_cannot_be_used_is_a_sentence_with_file_and_reason(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = write_theme(tmp_path, "mine", old, new)
    themes = Themes.load(tmp_path)
    assert themes.names == THEMES.names
    assert len(themes.problems) == 1
    assert str(file) in themes.problems[0] and said in themes.problems[0] and themes.problems[0].endswith(".")


def test_no_file_of_the_user_can_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "evil\x1b[2J.toml").write_text("name = '\x1b]0;hi\x07'")
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nowhere")
    themes = Themes.load(tmp_path)
    assert len(themes.problems) == 4
    assert all(problem.isprintable() for problem in themes.problems)
    assert Themes.load(tmp_path / "no such folder").problems == []


def test_an_unknown_name_is_the_first_theme() -> None:
    assert THEMES.palette("no such theme") == CAVE == read_palette(Path(__file__).parents[2].joinpath(
        "themes/cave.toml").read_bytes())  # fmt: skip


class Gallery(App[None]):
    """Textual's own widgets and ours under one theme."""

    BINDINGS = [("q", "quit", "quit")]  # noqa: RUF012
    CSS = "Input { border: round $ht-line; } Input:focus { border: round $ht-bright; } Footer { color: $ht-quiet; }"

    def __init__(self, name: str) -> None:
        super().__init__()
        for each in THEMES.names:
            self.register_theme(THEMES.textual(each))
        self.theme = name

    def compose(self) -> ComposeResult:
        yield Input("text")
        yield OptionList("one", "two")
        with TabbedContent(), TabPane("a"):
            yield OptionList("three")
        yield Footer()


@pytest.mark.parametrize("name", THEMES.names)
def test_textuals_widgets_take_the_theme_and_change_it_live(name: str) -> None:
    async def look() -> str:
        app = Gallery(THEMES.names[0])
        async with app.run_test(size=(60, 16)) as pilot:
            app.theme = name
            await pilot.pause()
            return app.query_one(Input).styles.border.top[1].hex.lower()

    palette = THEMES.palette(name)
    assert asyncio.run(look()) == (f"ansi_{palette.bright}" if palette.ansi else palette.bright)


def backgrounds_and_texts(app: App[None]) -> list[Style]:
    """The styles of everything on the screen, as the terminal gets them."""
    return [
        segment.style
        for y in range(app.size.height)
        for segment in app.screen._compositor.render_strips()[y]
        if segment.style is not None
    ]


@pytest.mark.parametrize("name", THEMES.names)
def test_without_colour_no_hue_reaches_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def look() -> list[Style]:
        app = Gallery(name)
        async with app.run_test(size=(60, 16)) as pilot:
            await pilot.pause()
            return backgrounds_and_texts(app)

    colours = {colour for style in asyncio.run(look()) for colour in (style.color, style.bgcolor) if colour is not None}
    assert colours
    for colour in colours:
        assert colour.is_default or len(set(colour.get_truecolor())) == 1, colour


@each_theme
def test_without_colour_the_greys_that_are_left_still_read(palette: Palette) -> None:
    def grey(colour: str) -> ColorTriplet:
        return TextualColor.parse(colour).monochrome.rich_color.get_truecolor()

    for name in READ_ON_BOTH:
        assert contrast(grey(getattr(palette, name)), grey(palette.background)) >= 4.5, name
    for scale in ("sequential", "diverging"):
        for text, back in zip(getattr(palette, f"on_{scale}"), getattr(palette, scale), strict=True):
            assert contrast(grey(text), grey(back)) >= 4.5, (scale, back)
