"""Rating explanations with single keys: one question at a time, blind to who explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from headtorch.core.errors import HeadtorchError
from headtorch.core.records import Prompt, Verdict
from headtorch.core.study.rating_plan import Item, examples, prompt_of
from headtorch.core.study.ratings import AnyAnswer, PromptJudged
from headtorch.core.study.state import StudyState
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.palette import CAVE, Palette

WORDS = {True: "active", False: "inactive", None: "cannot say"}
RATINGS = {1: "not at all", 2: "badly", 3: "in part", 4: "well", 5: "wholly"}


class RateScreen(Screen[int]):
    """Asks the questions in order and keeps each answer at once; returns how many were answered."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("rate")]
    DEFAULT_CSS = """
    RateScreen #plate { height: 1; }
    RateScreen #said { height: auto; max-height: 40%; padding: 1 2; }
    RateScreen #shown { height: 1fr; padding: 0 2; }
    RateScreen #ask { height: auto; padding: 1 2; }
    """

    def __init__(self, state: StudyState, items: Sequence[Item], keep: Callable[[AnyAnswer], None]) -> None:
        super().__init__()
        self._state, self._items, self._keep = state, items, keep
        self._at = 0
        self._answers: dict[int, AnyAnswer] = {}

    def compose(self) -> ComposeResult:
        """What is said of a head, and below it what it is held against."""
        yield Static(id="plate")
        yield Static(id="said")
        with VerticalScroll(id="shown"):
            yield Static(id="prompts")
        yield Static(id="ask")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """The first question."""
        self._draw()

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    @property
    def item(self) -> Item | None:
        """The present question; None after the last."""
        return self._items[self._at] if self._at < len(self._items) else None

    def action_judge(self, verdict: Verdict) -> None:
        """Answer a question about a prompt."""
        if self.item is not None and self.item.prompt is not None:
            self._take(self.item.judged(verdict))

    def action_rate(self, rating: int) -> None:
        """Answer a question about an explanation."""
        if self.item is not None and self.item.prompt is None:
            self._take(self.item.rated(rating))

    def action_step(self, step: int) -> None:
        """To another question."""
        self._at = max(0, min(len(self._items), self._at + step))
        self._draw()

    def action_leave(self) -> None:
        """Every answer is on the disk."""
        self.dismiss(len(self._answers))

    def _take(self, answer: AnyAnswer) -> None:
        try:
            self._keep(answer)
        except HeadtorchError as error:
            self.notify(visible(str(error)), markup=False, severity="error")
            return
        self._answers[self._at] = answer
        self.action_step(1)

    # drawing

    def _draw(self) -> None:
        item = self.item
        plate = Text(" headtorch ", self.palette.style("background", on="lamp", bold=True))
        place = f"  question {self._at + 1} of {len(self._items)}" if item else "  the end"
        self._put("plate", plate.append(f"{place}, {len(self._answers)} answered", self._style("quiet")))
        if item is None:
            self._put("said", Text("These were all the questions.", self._style("bright")))
            self._put("prompts", Text())
            keys = key_of("rate.leave", self.app._keymap), key_of("rate.back", self.app._keymap)
            self._put("ask", Text(f"{keys[0]} leaves, {keys[1]} goes back.", self._style("quiet")))
            return
        said = Text("Somebody says that the head is active where\n", self._style("quiet"))
        self._put("said", said.append(visible(item.explanation.text), self._style("bright", bold=True)))
        self._put(
            "prompts", self._examples(item) if item.prompt is None else self._prompt(prompt_of(self._state, item))
        )
        self._put("ask", self._question(item))
        self.query_one("#shown").scroll_home(animate=False)

    def _question(self, item: Item) -> Text:
        before = self._answers.get(self._at)
        if item.prompt is not None:
            asked = "Is it active on the last token of this text?  "
            keys = [(key_of(f"rate.{name}", self.app._keymap), word) for name, word in
                    (("active", "active"), ("inactive", "inactive"), ("unsure", "cannot say"))]  # fmt: skip
        else:
            asked = "How well does this fit the examples?  "
            keys = [(key_of(f"rate.{number}", self.app._keymap), word) for number, word in RATINGS.items()]
        text = Text(asked, self._style("text"))
        for key, word in keys:
            text.append(f" {key} ", self._style("bright", bold=True)).append(word + "  ", self._style("quiet"))
        if before is not None:
            given = WORDS[before.verdict] if isinstance(before, PromptJudged) else str(before.rating)
            text.append(f"\nYou said: {given}.", self._style("quiet"))
        return text

    def _examples(self, item: Item) -> Text:
        text = Text()
        for title, prompts in zip(("active", "inactive"), examples(self._state, item.explanation), strict=True):
            text.append(f"The head is {title} on the last token of\n", self._style("quiet"))
            for prompt in prompts:
                text.append("  ").append_text(self._prompt(prompt)).append("\n")
            text.append("\n")
        return text

    def _prompt(self, prompt: Prompt) -> Text:
        tokens = [visible(token) for token in prompt.document_tokens]
        text = Text("".join(tokens[:-1]), self._style("text"))
        return text.append(tokens[-1] if tokens else "", self._style("token", bold=True, underline=True))

    def _style(self, name: str, bold: bool = False, underline: bool = False) -> Style:
        return self.palette.style(name, bold=bold, underline=underline)

    def _put(self, name: str, text: Text) -> None:
        self.query_one(f"#{name}", Static).update(text)
