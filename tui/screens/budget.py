"""Before a study asks a language model: which one, how much that may be at most, and the caps that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import msgspec
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label, Static

from headtorch.core.errors import InputError
from headtorch.core.explain.llm.prices import price_of, unknown_price
from headtorch.core.settings import LlmAccess, LlmSettings, Price, Settings
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Dialog
from headtorch.tui.spending import count, most_calls_a_head
from headtorch.tui.widgets.entry import Entry

FIELDS = ("max_calls", "max_cost")


@dataclass(frozen=True)
class Leave:
    """What the user allows: the access with its caps, and whether the study is run or only opened."""

    access: LlmAccess
    run: bool


class BudgetScreen(Dialog["Leave | None"]):
    """Returns what is allowed, None for back. `heads`: how many wait for an explanation or a score, where known."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("budget")]
    DEFAULT_CSS = """
    BudgetScreen { align: center middle; background: transparent; }
    BudgetScreen > Vertical {
        width: 92%; max-width: 90; height: auto; max-height: 92%; padding: 0 1;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
        background: $ht-surface;
    }
    BudgetScreen Static { height: auto; color: $ht-text; }
    BudgetScreen #question { margin-bottom: 1; }
    BudgetScreen Horizontal { height: 1; }
    BudgetScreen Label { width: 26; color: $ht-quiet; }
    BudgetScreen Horizontal:focus-within Label { color: $ht-bright; }
    BudgetScreen Entry { width: 1fr; }
    """

    def __init__(self, settings: Settings, access: LlmAccess, heads: int | None = None) -> None:
        super().__init__()
        self._settings, self._access, self._heads = settings, access, heads

    def compose(self) -> ComposeResult:
        """What is known, the two caps, and what is wrong with them."""
        with Vertical():
            yield Static(id="question")
            for name, label in zip(FIELDS, ("at most so many calls", "at most so many dollars"), strict=True):
                value = getattr(self._access, name)
                shown = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                with Horizontal():
                    yield Label(label)
                    yield Entry(shown, placeholder="no cap", id=name)
            yield Static(id="said")

    def on_mount(self) -> None:
        """The first cap is ready to be changed."""
        box, keys = self.query_one(Vertical), {n: key_of(f"budget.{n}", self.app._keymap) for n in ("begin", "look")}
        box.border_title = Content("This study asks a language model")
        back = key_of("budget.back", self.app._keymap)
        box.border_subtitle = Content(f"{keys['begin']} begin · {keys['look']} open, ask nothing · {back} back")
        self.query_one("#question", Static).update(question(self._settings, self._access, self._heads, self.palette))
        self.query_one("#max_calls", Entry).focus()
        self._warn()

    @property
    def palette(self) -> Palette:
        """The colours of the present theme."""
        return getattr(self.app, "palette", CAVE)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another cap."""
        self._warn()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field."""
        self.action_begin()

    def action_next_field(self, step: int) -> None:
        """To the other field."""
        here = self.focused.id if self.focused is not None else None
        at = FIELDS.index(here) if here in FIELDS else -step
        self.query_one(f"#{FIELDS[(at + step) % len(FIELDS)]}", Entry).focus()

    def action_begin(self) -> None:
        """Run the study, where the caps can hold."""
        try:
            self.dismiss(Leave(self._allowed(), run=True))
        except InputError as error:
            self._say(f"✗ {error}")

    def action_look(self) -> None:
        """Open it as it is."""
        self.dismiss(Leave(self._access, run=False))

    def action_back(self) -> None:
        """Neither."""
        self.dismiss(None)

    def _allowed(self) -> LlmAccess:
        """Raises InputError for what is no cap, and for a cap in dollars where a price is not known."""
        calls, cost = (self.query_one(f"#{name}", Entry).value for name in FIELDS)
        access = msgspec.structs.replace(self._access, max_calls=read_calls(calls), max_cost=read_cost(cost))
        unknown = [model for model in models_of(self._settings) if price_of(access.prices, model) is None]
        if access.max_cost is not None and unknown:
            raise InputError(unknown_price(unknown[0]))
        return access

    def _warn(self) -> None:
        try:
            access = self._allowed()
        except InputError as error:
            self._say(f"✗ {error}")
            return
        free = access.max_calls is None and access.max_cost is None
        self._say("! Neither calls nor cost are capped: nothing stops the study but you." if free else "")

    def _say(self, sentence: str) -> None:
        self.query_one("#said", Static).update(Text(visible(sentence), self.palette.style("warning")))


def models_of(settings: Settings) -> list[str]:
    """The language models that the study asks: the explainer where it explains, and the judge."""
    llm = settings.llm
    if llm is None:
        return []
    judge = llm.judge_model or llm.model
    return list(dict.fromkeys([llm.model, judge] if settings.explainer == "llm" else [judge]))


def question(settings: Settings, access: LlmAccess, heads: int | None, palette: Palette) -> Text:
    """Who is asked where and at what price, and how many calls that can be."""
    quiet, bright, llm = palette.style("quiet"), palette.style("bright", bold=True), settings.llm
    lines = []
    for role, model, url in _roles(settings, llm) if llm is not None else []:
        price = price_of(access.prices, model)
        line = Text.assemble((f"{role:<9}", quiet), (visible(model), bright), (f"  at {visible(url)}", quiet))
        said = Text(f"         {_price(price)}", palette.style("warning" if price is None else "text"))
        lines += [line, said]
    most = most_calls_a_head(settings)
    each = f"A head takes up to {count(most, 'call')}, fewer where an answer is kept already."
    if heads is None:
        known = "How many heads are worth it is not known before the study has found them."
    else:
        known = f"{count(heads, 'head')} to go, so at most {count(heads * most, 'call')} in all."
    return Text("\n").join([*lines, Text(), Text(f"{each} {known}", palette.style("text"))])


def _roles(settings: Settings, llm: LlmSettings) -> list[tuple[str, str, str]]:
    """(role, model, address), the judge only where it is another."""
    mine = ("explains", llm.model, llm.base_url)
    judge = ("judges", llm.judge_model or llm.model, llm.judge_base_url or llm.base_url)
    if settings.explainer != "llm":
        return [judge]
    return [("asked", *mine[1:])] if mine[1:] == judge[1:] else [mine, judge]


def _price(price: Price | None) -> str:
    if price is None:
        return "price unknown: add it to prices.toml beside config.toml, or cap the calls"
    return f"${price.prompt:g} for a million tokens sent, ${price.completion:g} for a million received"


def read_calls(text: str) -> int | None:
    """A whole number of at least 1; None for an empty text. Raises InputError for anything else."""
    text = text.strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10**9):
        raise InputError("The cap on calls is a whole number, or empty.")
    return int(text)


def read_cost(text: str) -> float | None:
    """Dollars above 0; None for an empty text. Raises InputError for anything else."""
    text = text.strip().removeprefix("$").strip()
    if not text:
        return None
    try:
        dollars = float(text)
    except ValueError:
        dollars = -1.0
    if not 0 < dollars <= 1e9:
        raise InputError("The cap on cost is an amount in dollars such as 2.50, or empty.")
    return dollars
