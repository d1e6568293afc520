"""What would be sent to a language model, and what it would cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from headtorch.core.engine.protocol import CallsPlanned
from headtorch.core.records import PlannedCalls
from headtorch.core.settings import LlmAccess
from headtorch.core.text import visible
from headtorch.tui.keymap import bindings, key_of
from headtorch.tui.palette import CAVE, Palette
from headtorch.tui.screens.leaving import Dialog
from headtorch.tui.spending import caps, count, dollars

SENT = (
    "Sent are instructions, prompts of the neuron (text of your corpus) and claims about the head; the explainer is "
    "told the neuron's token unless hide_target is set. Answers are kept, and none is asked for twice."
)


class CallsScreen(Dialog[bool]):
    """Returns whether to send. Opens before the numbers are there; where nothing has to be sent it closes by itself."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("calls")]
    DEFAULT_CSS = """
    CallsScreen { align: center middle; background: transparent; }
    CallsScreen > VerticalScroll {
        width: 92%; max-width: 100; height: auto; max-height: 92%; padding: 0 1; scrollbar-size-vertical: 1;
        border: round $ht-bright; border-title-color: $ht-bright; border-subtitle-color: $ht-quiet;
        background: $ht-surface;
    }
    CallsScreen Static { height: auto; color: $ht-text; }
    """

    def __init__(self, subject: str, request: int, access: LlmAccess) -> None:
        super().__init__()
        self._subject, self._request, self._access = subject, request, access
        self._planned: CallsPlanned | None = None
        self._problem = ""
        self._shows_texts = False

    @property
    def request(self) -> int:
        """The number of the request for the plan."""
        return self._request

    def compose(self) -> ComposeResult:
        """A box that scrolls where it is too small."""
        with VerticalScroll(can_focus=False):
            yield Static()

    def on_mount(self) -> None:
        """Say what it is about."""
        self._scroll.border_title = Content(visible(f"Ask a language model about {self._subject}?"))
        self._draw()

    # what is known

    def show_plan(self, message: CallsPlanned) -> None:
        """The numbers have come."""
        if message.request != self._request:
            return
        self._planned = message
        if not any(plan.calls for plan in message.plans):
            self.dismiss(True)
        self._draw()

    def show_failure(self, request: int, text: str) -> None:
        """There will be no numbers."""
        if request == self._request and self._planned is None:
            self._problem = text
            self._draw()

    # keys

    def action_send(self) -> None:
        """Send, once it is known what."""
        if self._planned is not None:
            self.dismiss(True)

    def action_back(self) -> None:
        """Send nothing."""
        self.dismiss(False)

    def action_texts(self) -> None:
        """The very texts, or the numbers again."""
        if self._planned is not None:
            self._shows_texts = not self._shows_texts
            self._draw()
            self._scroll.scroll_to(y=0, animate=False)

    def action_scroll(self, lines: int) -> None:
        """By lines."""
        self._scroll.scroll_relative(y=lines, animate=False)

    def action_half_page(self, direction: int) -> None:
        """By half of what fits."""
        self._scroll.scroll_relative(y=direction * max(1, self._scroll.size.height // 2), animate=False)

    def action_end(self, direction: int) -> None:
        """To the top or the end."""
        self._scroll.scroll_to(y=0 if direction < 0 else self._scroll.max_scroll_y, animate=False)

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one(VerticalScroll)

    # drawing

    def _draw(self) -> None:
        palette: Palette = getattr(self.app, "palette", CAVE)
        keys = {name: key_of(f"calls.{name}", self.app._keymap) for name in ("send", "texts", "back")}
        back = f"{keys['back']} back"
        if self._problem:
            text, below = Text(f"✗ {visible(self._problem)}", palette.style("warning")), back
        elif self._planned is None:
            text, below = Text("Counting the calls …", palette.style("quiet")), back
        elif self._shows_texts:
            text = texts_page(self._planned.examples, palette)
            below = f"{keys['send']} send · {keys['texts']} numbers · {back}"
        else:
            text = plan_page(self._planned.plans, self._access, palette)
            below = f"{keys['send']} send · {keys['texts']} the very texts · {back}"
        self.query_one(Static).update(text)
        self._scroll.border_subtitle = Content(below)


def plan_page(plans: Sequence[PlannedCalls], access: LlmAccess, palette: Palette) -> Text:
    """Model by model what would be asked, the sum, the caps, and what is sent."""
    quiet, bright = palette.style("quiet"), palette.style("bright", bold=True)
    lines: list[Text] = []
    for plan in plans:
        lines.append(Text.assemble((visible(plan.model), bright), (f"  at {visible(plan.base_url)}", quiet)))
        lines.append(_numbers(plan, palette))
    costs = [plan.cost for plan in plans if plan.cost is not None]
    if len(plans) > 1:
        whole = sum(costs) if len(costs) == len(plans) else None
        calls = count(sum(plan.calls for plan in plans), "call")
        lines.append(Text.assemble(("in all  ", quiet), (f"{calls}, {_price(whole)}", bright)))
    if len(costs) < len(plans):
        where = "Its price is not known: add the model to prices.toml beside config.toml."
        lines.append(Text(where, palette.style("warning")))
    lines += [Text(f"{caps(access)}; tokens are estimates, answers counted at their longest", quiet), Text()]
    return Text("\n").join([*lines, Text(SENT, palette.style("text"))])


def _numbers(plan: PlannedCalls, palette: Palette) -> Text:
    calls = Text(f"  {count(plan.calls, 'call')}", palette.style("bright", bold=True))
    calls.append(f", {plan.cached:,} more from the cache" if plan.cached else "", palette.style("text"))
    calls.append(f"   about {plan.prompt_tokens:,} + {plan.completion_tokens:,} tokens   ", palette.style("text"))
    return calls.append(_price(plan.cost), palette.style("warning" if plan.cost is None else "bright"))


def _price(cost: float | None) -> str:
    return dollars(cost) if cost is None else f"at most about {dollars(cost)}"


def texts_page(examples: Sequence[str], palette: Palette) -> Text:
    """The texts one after the other, as they would be sent; what cannot be seen is made visible."""
    page = Text()
    for at, example in enumerate(examples, 1):
        page.append("\n\n" if at > 1 else "")
        page.append(f"Example {at} of {len(examples)}, one of each kind\n", palette.style("bright", bold=True))
        page.append("\n".join(visible(line) for line in example.split("\n")), palette.style("text"))
    return page if examples else Text("There is no text to show.", palette.style("quiet"))
