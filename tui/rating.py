"""The small application behind `headtorch rate`: one screen in the user's theme."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App

from headtorch.core.study.rating_plan import Item
from headtorch.core.study.ratings import Ratings
from headtorch.core.study.state import StudyState
from headtorch.tui.palette import Palette
from headtorch.tui.screens.rate import RateScreen
from headtorch.tui.settings import TuiSettings, load_settings
from headtorch.tui.theming import Themes


class RatingApp(App[int], inherit_bindings=False):
    """Returns how many questions were answered."""

    TITLE = "headtorch"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = "headtorch.tcss"

    def __init__(
        self, state: StudyState, items: Sequence[Item], ratings: Ratings, settings: TuiSettings | None = None
    ) -> None:
        self._settings = settings or load_settings()
        self._themes = Themes.load(self._settings.themes_folder)
        super().__init__()
        self.animation_level = "none"
        for name in self._themes.names:
            self.register_theme(self._themes.textual(name))
        known = self._settings.theme in self._themes.names
        self.theme = self._settings.theme if known else self._themes.names[0]
        self._first = RateScreen(state, items, ratings.add)

    @property
    def palette(self) -> Palette:
        """The colours of the theme."""
        return self._themes.palette(self.theme)

    def on_mount(self) -> None:
        """Ask until the last question, or until the user leaves."""
        self.set_keymap(self._settings.keymap)
        self.push_screen(self._first, self._left)

    def _left(self, answered: int | None) -> None:
        self.exit(answered)
