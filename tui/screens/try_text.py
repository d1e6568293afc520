"""Try your own text: what the neuron and the head do on it, and what changes with every edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Footer, Static, TextArea

from headtorch.core.engine.protocol import TextProbed
from headtorch.core.records import HeadId, NeuronId, NextTokenNeuron
from headtorch.core.text import visible, visible_token
from headtorch.tui.keymap import bindings
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Page
from headtorch.tui.screens.probe_page import ProbePage
from headtorch.tui.selection import SHADING_MODES, ShadingMode
from headtorch.tui.widgets.area import Area

PAUSE = 0.7  # seconds without a key after which the text is tried
STEP_PAUSE = 0.15  # the same for moving the position
Ask = Callable[[str, "int | None"], int]  # text, position → the number that the answer carries


class TextToTry(Area):
    """The text; Enter tries it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("try-typing")]

    class Entered(Message):
        """Enter."""

    def on_key(self, event: events.Key) -> None:
        """Enter would otherwise begin a new line."""
        if event.key == "enter":
            event.prevent_default().stop()
            self.action_ask()

    def action_ask(self) -> None:
        """Try it now."""
        self.post_message(self.Entered())

    def action_new_line(self) -> None:
        """A line end in the text."""
        self.insert("\n")


class AnswerView(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The answer; left and right move the position that heads and probabilities are about."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("try-answer")]

    class PositionWanted(Message):
        """Another token is marked; its heads and probabilities have to be asked for."""

        def __init__(self, position: int) -> None:
            super().__init__()
            self.position = position

    class EditWanted(Message):
        """Back to the text."""

    def __init__(self) -> None:
        super().__init__()
        self.page: ProbePage | None = None
        self.shading: ShadingMode = "activation"

    def compose(self) -> ComposeResult:
        """One widget with styled lines."""
        yield Static(id="page")

    def show(self, page: ProbePage) -> None:
        """Draw an answer."""
        self.page = page
        self.draw()

    def draw(self) -> None:
        """Draw what is there, for the present width and theme."""
        if self.page is not None:
            palette: Palette = getattr(self.app, "palette", CAVE)
            lines = self.page.lines(max(20, self.size.width - 3), palette)
            self.query_one("#page", Static).update(Text("\n").join(lines))
            self.border_subtitle = Content(self.page.shading_in_words())

    def on_resize(self) -> None:
        """Other widths, other lines."""
        self.draw()

    def action_move(self, step: int) -> None:
        """Mark the token beside; its activation is known at once."""
        if self.page is not None:
            self._mark(self.page.position + step)

    def action_end(self, direction: int) -> None:
        """Mark the first or the last token."""
        if self.page is not None:
            self._mark(0 if direction < 0 else len(self.page.now.tokens) - 1)

    def action_shading(self) -> None:
        """The next way to shade; without a head there is one only."""
        if self.page is None or self.page.now.head is None:
            self.notify("There is no head to shade by.", markup=False, severity="warning")
            return
        self.shading = SHADING_MODES[(SHADING_MODES.index(self.shading) + 1) % len(SHADING_MODES)]
        self.show(replace(self.page, shading=self.shading))

    def action_scroll_lines(self, lines: int) -> None:
        """By lines."""
        self.scroll_relative(y=lines, animate=False)

    def action_edit(self) -> None:
        """Back to the text."""
        self.post_message(self.EditWanted())

    def _mark(self, position: int) -> None:
        assert self.page is not None
        position = max(0, min(position, len(self.page.now.tokens) - 1))
        if position != self.page.position:
            self.show(replace(self.page, position=position))
            self.post_message(self.PositionWanted(position))


class TryTextScreen(Page[None]):
    """`ask(text, position)` sends a text and returns the number of the request; the answer comes to `show_probe`.

    Every answer is compared with the last one on another text, or with the one that the user kept.
    """

    help = (
        "Type or paste a text; Enter or a pause tries it. Enter is no line end here: shift+enter, alt+enter or "
        "ctrl+j is.\n"
        "The tokens are shaded by the neuron's activation. ▸ and ◂ mark the token that the rest is about; at first it "
        "is the one where the neuron is strongest. Tab leads to the answer, where h and l move the mark.\n"
        "Heads: what each head gives to the neuron's pre-activation there, the strongest first, ▸ the selected one. "
        "heads + other parts = pre-activation, up to the error of rounding; other parts are the embedding, positions, "
        "MLPs and biases. A gated neuron has no such sum: there a head's number is its part of the activation, each "
        "product split in halves.\n"
        "Next token: p is the model's probability; without is p with the selected head replaced by its mean over the "
        "corpus; < stands before the smallest p that is known.\n"
        "What changed: change one word and see the numbers before → now. ctrl+k keeps an answer, and all later ones "
        "are compared with it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("try-text")]
    DEFAULT_CSS = """
    TryTextScreen { background: $ht-background; color: $ht-text; }
    TryTextScreen #title { height: 1; padding: 0 1; background: $ht-background; }
    TryTextScreen TextToTry {
        height: auto; max-height: 7; border: round $ht-line; border-title-color: $ht-quiet;
        background: $ht-background;
        &:focus { border: round $ht-bright; border-title-color: $ht-bright; background: $ht-background; }
    }
    TryTextScreen #state { height: 1; padding: 0 2; color: $ht-quiet; }
    TryTextScreen #state.-problem { color: $ht-warning; height: auto; }
    TryTextScreen AnswerView {
        height: 1fr; border: round $ht-line; padding: 0 1;
        border-title-color: $ht-quiet; border-subtitle-color: $ht-quiet;
        scrollbar-size-vertical: 1; background: $ht-background;
        &:focus { border: round $ht-bright; border-title-color: $ht-bright; }
    }
    """

    def __init__(
        self, neuron: NeuronId, head: HeadId | None, ask: Ask, text: str = "", row: NextTokenNeuron | None = None
    ) -> None:
        super().__init__()
        self._neuron, self._head, self._ask_engine, self._row = neuron, head, ask, row
        self._initial = text
        self._waiting_for: int | None = None
        self._asked: tuple[str, int | None] | None = None
        self._timer: Timer | None = None
        self._answers: list[TextProbed] = []  # the last two texts' own last ones
        self._kept: TextProbed | None = None

    def compose(self) -> ComposeResult:
        """The text above, the answer below."""
        yield Static(self._title(), id="title")
        yield TextToTry(self._initial, placeholder="Type or paste a text …")
        yield Static(id="state")
        yield AnswerView()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """A text that came along is tried at once."""
        self._area.border_title, self._answer.border_title = "Text", "Answer"
        self._area.focus()
        self._area.move_cursor(self._area.document.end)
        self._say("Enter tries the text.")
        self._ask(None)

    def show_probe(self, message: TextProbed) -> None:
        """The answer; an older one than the last question's is left out."""
        if message.request != self._waiting_for:
            return
        if self._answers and self._answers[-1].token_ids == message.token_ids:
            self._answers.pop()
        self._answers = [*self._answers[-1:], message]
        self._waiting_for = None
        self._say("")
        self._show()

    def show_failure(self, request: int, text: str) -> None:
        """The question could not be answered; the last answer stays."""
        if request == self._waiting_for:
            self._asked = self._waiting_for = None
            self._say(f"✗ {text}", problem=True)

    @on(TextToTry.Entered)
    def _entered(self) -> None:
        self._asked = None  # Enter asks again, whatever was asked before
        self._ask(None)

    @on(TextArea.Changed)
    def _changed(self) -> None:
        self._later(PAUSE, None)

    @on(AnswerView.PositionWanted)
    def _position_wanted(self, message: AnswerView.PositionWanted) -> None:
        self._later(STEP_PAUSE, message.position)

    @on(AnswerView.EditWanted)
    def _edit_wanted(self) -> None:
        self._area.focus()

    def action_back(self) -> None:
        """To where it was opened."""
        self.dismiss(None)

    def action_switch(self) -> None:
        """Text or answer."""
        (self._answer if self._area.has_focus else self._area).focus()

    def action_keep(self) -> None:
        """Keep the present answer to compare with, or let go of the kept one."""
        if not self._answers:
            self.notify("There is no answer to keep yet.", markup=False, severity="warning")
            return
        self._kept = self._answers[-1] if self._kept is None else None
        self._say("Later answers are compared with this one." if self._kept else "Compared with the text before again.")
        self._show()

    def _later(self, seconds: float, position: int | None) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, lambda: self._ask(position))

    def _ask(self, position: int | None) -> None:
        if self._timer is not None:
            self._timer.stop()
        text = self._area.text
        if position is None and self._asked is not None and self._asked[0] == text:
            return  # tried already, at the position that the user has moved to since
        if text.strip() and (text, position) != self._asked:
            self._asked = (text, position)
            self._waiting_for = self._ask_engine(text, position)
            self._say("Asking the model …")

    def _show(self) -> None:
        now = self._answers[-1]
        before = self._answers[-2] if len(self._answers) > 1 else None
        against = self._kept if self._kept is not None and self._kept is not now else before
        page = ProbePage(
            now=now,
            position=now.position,
            shading=self._answer.shading,
            against=against,
            kept=against is not None and against is self._kept,
            token=None if self._row is None else self._row.token,
        )
        self._answer.show(page)

    def _say(self, text: str, problem: bool = False) -> None:
        state = self.query_one("#state", Static)
        state.set_class(problem, "-problem")
        state.update(Text(visible(text)))

    def _title(self) -> Text:
        palette: Palette = getattr(self.app, "palette", CAVE)
        title = Text.assemble(
            ("Try your own text", palette.style("bright", bold=True)),
            ("  on ", palette.style("quiet")),
            (str(self._neuron), palette.style("bright")),
        )
        if self._row is not None:
            title.append(f" {visible_token(self._row.token)}", palette.style("token"))
        if self._head is not None:
            title.append("  with and without ", palette.style("quiet")).append(str(self._head), palette.style("bright"))
        return title

    @property
    def _area(self) -> TextToTry:
        return self.query_one(TextToTry)

    @property
    def _answer(self) -> AnswerView:
        return self.query_one(AnswerView)
