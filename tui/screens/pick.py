"""The pick screen: what to study, or which study to reopen. Everything slow happens in threads beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Input, Static

from headtorch.core.engine.presets import DEFAULT_TOKEN
from headtorch.core.errors import AddressError, HeadtorchError, InputError
from headtorch.core.model.preview import ModelPreview
from headtorch.core.model.tokens_at_hand import TokensAtHand
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.language_model import LanguageModel
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.picking import gather
from headtorch.tui.picking.card import card
from headtorch.tui.picking.choice import Choice
from headtorch.tui.picking.estimate import estimate
from headtorch.tui.picking.form import Form
from headtorch.tui.picking.gather import Facts
from headtorch.tui.picking.lists import PickList, Row, corpus_rows, model_rows, study_rows
from headtorch.tui.picking.machine import Device, meant_by
from headtorch.tui.picking.marks import MarkedList, StudyList
from headtorch.tui.picking.question import PickResult, ask, layers_named
from headtorch.tui.picking.typed import TypedTokens
from headtorch.tui.remembered import Choices, remember, remembered
from headtorch.tui.screens.leaving import Page
from headtorch.tui.settings import TuiSettings
from headtorch.tui.widgets.entry import Entry
from headtorch.tui.widgets.lines import Lines

__all__ = ["PickResult", "PickScreen"]

FIELDS = ("model", "models", "corpus", "corpora", "token", "layers", "preset", "explainer", "device", "studies")
LISTS = {"models": "model", "corpora": "corpus"}  # a list, and the field that it fills
WIDE, TALL = 100, 30  # from which on the form and the lists stand side by side
PAUSE = 0.25  # seconds without a key before a name that is being typed is looked up
HELP = (
    "Type a model (demo, a Hugging Face id, a folder), a corpus (sotu, a file, folder or glob, hf:name) and tokens, or "
    "take a model and a corpus from the lists. The space in front of a token counts and is shown as ·; "
    "commas separate several tokens, and \\, is a comma itself. Without a token the neurons are studied that promote "
    "any token most. A line of the list of studies reopens that one; space marks studies and c puts the marked "
    "ones side by side. The explainer can be chosen where the table [explainer] of config.toml names a language model; "
    "what it may cost is asked before it begins."
)


class PickScreen(Page[PickResult | None]):
    """Returns what was picked, or None for back.

    back: there is a workbench to go back to
    compare: studies to put side by side at once, over this screen
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("pick")]
    CSS = """
    PickScreen #plate { height: 1; }
    PickScreen #form { height: auto; padding: 1 1 0 1; }
    PickScreen .field { height: 1; }
    PickScreen .field Label { width: 9; color: $ht-quiet; }
    PickScreen .field:focus-within Label { color: $ht-bright; }
    PickScreen .field Entry { width: 1fr; background: $ht-background; color: $ht-text; }
    PickScreen .field Entry:focus { background: $ht-surface; color: $ht-bright; }
    PickScreen #said { height: 3; padding-left: 9; }
    PickScreen #problem { height: auto; min-height: 1; max-height: 3; color: $ht-warning; }
    PickScreen #card { height: 1fr; min-height: 7; padding: 1; }
    PickScreen #left { width: 3fr; }
    PickScreen #right { width: 2fr; }
    PickScreen #studies { height: 2fr; }
    PickScreen.-narrow #left, PickScreen.-narrow #right { width: 1fr; }
    PickScreen.-narrow #said { height: 2; }
    PickScreen.-narrow #form, PickScreen.-narrow #card { padding: 0 1; }
    """
    help = HELP

    class Gathered(Message):
        """A thread has found something out. `number` tells whether it is still wanted."""

        def __init__(self, topic: str, number: int, value: Any) -> None:
            super().__init__()
            self.topic, self.number, self.value = topic, number, value

    def __init__(self, back: bool = False, compare: Sequence[str] = ()) -> None:
        super().__init__()
        self._back, self._compare = back, list(compare)
        self._memory = remembered()
        self._facts: Facts | None = None  # of the model and corpus that the fields name
        self._devices: list[Device] = []
        self._asked = 0  # the newest question about model and corpus

    def compose(self) -> ComposeResult:
        yield Static(id="plate")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Form(self._first_choices(), self.model.llm, id="form")
                yield Static(id="card", classes="pane")
            with Vertical(id="right"):
                yield PickList("Looking for models …", id="models")
                yield PickList("Looking for corpora …", id="corpora")
                yield StudyList("No study yet.", id="studies")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """The form is ready at once; the lists fill when their threads are done."""
        titles = {"form": "New study", "card": "What it takes", "models": "Models", "corpora": "Corpora"}
        for name, title in (titles | {"studies": "Studies"}).items():
            self.query_one(f"#{name}").border_title = Content(title)
            self.query_one(f"#{name}").add_class("pane")
        self.query_one("#form").border_subtitle = Content(f"{key_of('pick.start', self.app._keymap)} start")
        plate = Text(" headtorch ", self.palette.style("background", on="lamp", bold=True))
        self.query_one("#plate", Static).update(
            plate.append("  new study", self.palette.style("quiet", on="background"))
        )
        self.query_one("#models", PickList).fill([Row("demo", "demo", "comes with headtorch")])
        self.query_one("#corpora", PickList).fill([Row("sotu", "sotu", "comes with headtorch")])
        self._arrange()
        self.query_one("#token", Entry).focus()
        self._said()
        self.call_after_refresh(self._gather)
        if self._compare:
            self._show_compared(self._compare)

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    @property
    def model(self) -> LanguageModel:
        """The language model that the user's settings name, if any."""
        return getattr(self.app, "model", None) or LanguageModel()

    def _first_choices(self) -> Choices:
        """The last choices, or what the user's settings say."""
        if self._memory.last is not None:
            return self._memory.last
        mine = getattr(self.app, "settings", None) or TuiSettings()
        tokens = (DEFAULT_TOKEN,) if mine.preset == "default" and mine.model == "demo" else ()
        return Choices(
            model=mine.model,
            corpus=mine.corpus,
            tokens=tokens,
            layers=mine.layers,
            preset=mine.preset,
            device=mine.device,
        )

    def choices(self) -> Choices:
        """What the fields say."""
        return self.query_one(Form).choices()

    # what threads find out

    def _gather(self) -> None:
        self._aside("devices", 0, gather.devices)
        self._look_up()
        self._aside("corpora", 0, gather.corpora)
        self._aside("studies", 0, gather.studies)
        self._aside("models", 0, gather.models)

    def _look_up(self) -> None:
        """Find out about the model and the corpus that the fields name now."""
        self._asked += 1
        now = self.choices()
        self._aside("facts", self._asked, lambda: gather.facts(now.model, now.corpus))

    def _aside(self, topic: str, number: int, work: Callable[[], object]) -> None:
        """Work in a thread that nobody waits for, not even at the end; its answer comes as a message."""

        def run() -> None:
            try:
                value = work()
            except HeadtorchError as error:
                value = error
            except Exception as error:  # said in a sentence: a thread's traceback would land on the screen
                value = InputError(f"{topic} cannot be listed: {error or type(error).__name__}.")
            self.post_message(self.Gathered(topic, number, value))

        Thread(target=run, daemon=True, name=f"pick-{topic}").start()

    def on_pick_screen_gathered(self, message: Gathered) -> None:
        """Show what a thread found, if it is still what is wanted."""
        value = message.value
        if message.topic == "facts":
            if message.number != self._asked:
                return
            self._facts = value if isinstance(value, Facts) else Facts(preview=value)
            self._said()
        elif isinstance(value, HeadtorchError):
            self._problem(str(value))
        elif message.topic == "devices":
            self._devices = value
            self._offer_devices()
        elif message.topic == "models":
            self.query_one("#models", PickList).fill(model_rows(value, self._memory.models))
        elif message.topic == "corpora":
            self.query_one("#corpora", PickList).fill(corpus_rows(value, self._memory.corpora))
        elif message.topic == "studies":
            self.query_one("#studies", PickList).fill(study_rows(value))
        self._draw_card()

    def _offer_devices(self) -> None:
        field = self.query_one("#device", Choice)
        field.offer(["auto", *(device.name for device in self._devices)], meant_by(field.value, self._devices).title)

    # drawing

    def _draw_card(self) -> None:
        facts, now = self._facts, self.choices()
        if facts is None:
            return
        layers: list[int] | AddressError = []
        expected, device = None, meant_by(now.device, self._devices) if self._devices else None
        if isinstance(facts.preview, ModelPreview):
            try:
                layers = layers_named(now.layers, now.preset, facts.preview)
            except AddressError as error:
                layers = error
            if device is not None and not isinstance(layers, AddressError):
                expected = estimate(facts.preview, layers, now.corpus, device, facts.measured, facts.characters)
        self.query_one("#card", Static).update(card(self.palette, facts.preview, layers, device, expected))

    def _said(self) -> None:
        """What the tokens are, and what they may become."""
        tokens = self._facts.tokens if self._facts is not None else None
        self._typed.follow(self.query_one("#token", Entry).value, tokens)

    @property
    def _typed(self) -> TypedTokens:
        return self.query_one(TypedTokens)

    def _problem(self, sentence: str) -> None:
        shown = f"✗ {visible(sentence)}" if sentence else ""
        self.query_one("#problem", Static).update(Text(shown, self.palette.style("warning")))

    # moving

    def on_resize(self, event: events.Resize) -> None:
        """Where there is no room for both, the form or the list that has the focus."""
        self._arrange()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The same when the focus moves."""
        self._arrange()

    def _arrange(self, wanted: str | None = None) -> None:
        narrow = self.size.width < WIDE or self.size.height < TALL
        focused = wanted or (self.focused.id if self.focused is not None else None)
        in_list = focused in (*LISTS, "studies")
        self.set_class(narrow, "-narrow")
        self.query_one("#left").display = not narrow or not in_list
        self.query_one("#right").display = not narrow or in_list
        for name in (*LISTS, "studies"):
            self.query_one(f"#{name}").display = not narrow or name == focused

    def action_next_field(self, step: int) -> None:
        """Round the fields and lists."""
        now = self.focused.id if self.focused is not None else None
        fields = [name for name in FIELDS if name != "explainer" or self.model.llm is not None]
        at = fields.index(now) if now in fields else -step
        self._go(fields[(at + step) % len(fields)])

    def _go(self, name: str) -> None:
        self._arrange(name)
        self.query_one(f"#{name}").focus()

    def action_suggestion(self, step: int) -> None:
        """Walk through the suggestions of the token field; in other fields, to the next."""
        if self.focused is None or self.focused.id != "token":
            self.action_next_field(step)
        elif self._typed.suggestions:
            self._typed.walk(step)

    def action_leave(self) -> None:
        """Back to the workbench, where there is one."""
        if self._typed.walked is not None:
            self._typed.walk_away()
        elif self._back:
            self.dismiss(None)
        elif self.focused is not None and self.focused.id != "token":
            self._go("token")

    # choosing

    @on(Input.Changed)
    def _edited(self, event: Input.Changed) -> None:
        self._problem("")
        if event.input.id == "token":
            self._typed.walked = None
            self._said()
        elif event.input.id in ("model", "corpus"):
            self._asked += 1  # what is still being looked up is no longer wanted
            self.set_timer(PAUSE, self._look_up_if(self._asked))
        self._draw_card()

    def _look_up_if(self, number: int) -> Callable[[], None]:
        return lambda: self._look_up() if number == self._asked else None

    @on(Choice.Changed)
    def _chose(self) -> None:
        self._problem("")
        if self._devices:
            self._offer_devices()
        self._draw_card()

    @on(Lines.Chosen)
    def _took(self, message: Lines.Chosen) -> None:
        chosen = message.lines.chosen if isinstance(message.lines, PickList) else None
        if chosen is None:
            return
        if message.lines.id == "studies":
            if chosen.wrong:
                self._say_wrong(chosen)
            else:
                self.dismiss(PickResult(None, chosen.value, self.choices().device))
            return
        self.query_one(f"#{LISTS[str(message.lines.id)]}", Entry).value = chosen.value
        self._go("token")
        if chosen.wrong:
            self._say_wrong(chosen)

    @on(MarkedList.Marked)
    def _marked(self, message: MarkedList.Marked) -> None:
        count, key = len(message.list.marked), key_of("studies.compare", self.app._keymap)
        message.list.border_subtitle = Content(f"{count} marked · {key} compare" if count else "")

    @on(StudyList.Compare)
    def _compare_marked(self, message: StudyList.Compare) -> None:
        if len(message.studies) > 1:
            self._show_compared(message.studies)
        else:
            key = key_of("studies.mark", self.app._keymap)
            self.app.notify(f"Mark two or more studies with {key} first.", markup=False, severity="warning")

    def _show_compared(self, studies: Sequence[str]) -> None:
        from headtorch.tui.comparing.wanted import OpenAt
        from headtorch.tui.screens.compare import CompareScreen  # numpy: not before it is wanted

        def opened(at: OpenAt | None) -> None:
            if at is not None:
                self.dismiss(PickResult(None, at.where, self.choices().device, at.neuron, at.head))

        self.app.push_screen(CompareScreen(studies), opened)

    def _say_wrong(self, row: Row) -> None:
        self.app.notify(row.detail, markup=False, severity="error", timeout=8)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if event.input.id == "token" and self._typed.walked is not None:
            event.input.value = self._typed.take()
            event.input.cursor_position = len(event.input.value)
        else:
            self.action_start()

    def action_start(self) -> None:
        """Begin the study that the fields describe, or say what is wrong with it."""
        now, facts = self.choices(), self._facts
        tokens = facts.tokens if facts is not None and isinstance(facts.tokens, TokensAtHand) else None
        try:
            settings = ask(now, facts.preview if facts is not None else None, tokens, self.model.llm)
        except HeadtorchError as error:
            self._problem(str(error))
            return
        remember(now)
        self.dismiss(PickResult(settings, None, now.device))
