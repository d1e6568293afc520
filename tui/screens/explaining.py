"""From the key to the request: how a head is to be explained, and whether a language model may be asked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from headtorch.core.engine.protocol import Cancel, ExplainHead
from headtorch.core.records import HeadId, NeuronId
from headtorch.tui.explaining import (
    Kind,
    asks_a_model,
    explain,
    explainers,
    llm_of,
    own_explainer,
    plan,
    request_for,
    show_next_explainer,
    why_no_llm,
)
from headtorch.tui.panes.figures import fixed
from headtorch.tui.refusals import busy, no_head
from headtorch.tui.screens.calls import CallsScreen
from headtorch.tui.screens.explain import ExplainScreen, Way
from headtorch.tui.screens.hypothesis import HypothesisLine
from headtorch.tui.screens.prompt_line import Suggestion
from headtorch.tui.session import Session

if TYPE_CHECKING:
    from headtorch.tui.screens.workbench import Workbench


class Explaining:
    """The conversation about one head at a time, for a workbench."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._last: Kind | None = None  # taken last
        self._typed = ""  # last

    @property
    def _session(self) -> Session:
        return self._workbench.session

    def menu(self) -> None:
        """Ask how."""
        if not self._refused():
            screen = ExplainScreen(self._subject(), ways(self._session), self._last or self._first())
            self._workbench.app.push_screen(screen, self._chosen)

    def hypothesis(self) -> None:
        """Ask for the researcher's own words."""
        if self._refused():
            return
        session, chosen = self._session, self._session.selection
        before = {key: said for key, said in session.state.explanations.items() if key[2] == "me"}
        assert chosen.neuron is not None and chosen.head is not None
        mine = before.get((chosen.neuron, chosen.head, "me"))
        line = HypothesisLine(
            self._subject(),
            mine.text if mine is not None else self._typed,
            earlier(session, chosen.neuron, chosen.head),
            why_no_llm(session),
        )
        self._workbench.app.push_screen(line, self._entered)

    def next_explainer(self) -> None:
        """Show what another says of the head."""
        if show_next_explainer(self._session):
            self._workbench.changed(frozenset({"detail"}), now=True)
        else:
            key = self._session.key("workbench.explain")
            only = "Nobody else has" if explainers(self._session) else "Nobody has"
            self._workbench.refuses(f"{only} explained this head yet; {key} asks somebody.")

    def _first(self) -> Kind:
        own = own_explainer(self._session.state)
        return "llm" if own.startswith("llm:") else "rules"

    def _subject(self) -> str:
        return f"{self._session.selection.head} on {self._session.selection.neuron}"

    def _refused(self) -> bool:
        bench = self._workbench
        return bench.refuses(no_head(bench.session) or bench.no_engine() or busy(bench.session, ExplainHead))

    def _chosen(self, kind: Kind | None) -> None:
        if kind is None:
            return
        self._last = kind
        if kind == "me":
            self.hypothesis()
        else:
            self._ask(request_for(self._session, kind))

    def _entered(self, text: str | None) -> None:
        if text is not None:
            self._last, self._typed = "me", text
            self._ask(request_for(self._session, "me", text))

    def _ask(self, request: ExplainHead | None) -> None:
        if request is None or self._refused():
            return
        if not asks_a_model(request):
            self._send(request)
            return
        number = plan(self._session, request)
        screen = CallsScreen(self._subject(), number, request.access)
        self._workbench.app.push_screen(screen, partial(self._allowed, number, request))

    def _allowed(self, number: int, request: ExplainHead, send: bool | None) -> None:
        if not send:
            if number in self._session.requests.waiting:
                engine = self._session.engine
                engine.send(Cancel(id=engine.next_id(), target=number))
        elif not self._workbench.refuses(self._workbench.no_engine() or busy(self._session, ExplainHead)):
            self._send(request)

    def _send(self, request: ExplainHead) -> None:
        bench = self._workbench
        explain(bench.session, request)
        bench.detail.show_tab("Explanation")
        bench.focus_pane(4)
        bench.changed(frozenset({"detail", "progress"}), now=True)


def ways(session: Session) -> list[Way]:
    """How the selected head can be explained, with what each came to before."""
    llm, problem = llm_of(session), why_no_llm(session)
    model = f"llm: {llm.model}" if llm is not None else "language model"
    asked = f"shows calls and price first; {llm.base_url}" if llm is not None else problem
    return [
        Way("rules", "rules", "a short rule over words, found by search; offline", known=_known(session, "rules")),
        Way("llm", model, asked, problem, _known(session, f"llm:{llm.model}") if llm is not None else ""),
        Way("me", "my own hypothesis", "a sentence, or re:PATTERN; scored at once", known=_known(session, "me")),
    ]


def _known(session: Session, name: str) -> str:
    neuron, head = session.selection.neuron, session.selection.head
    score = session.state.scores.get((neuron, head, name)) if neuron is not None and head is not None else None
    return f"E {fixed(score.e)}" if score is not None and score.e is not None else ""


def earlier(session: Session, neuron: NeuronId, head: HeadId) -> list[Suggestion]:
    """The researcher's hypotheses about other heads, the newest first, each with what it came to there."""
    found: dict[str, Suggestion] = {}
    for (of, other, name), said in reversed(session.state.explanations.items()):
        if name != "me" or (of, other) == (neuron, head):
            continue
        score = session.state.scores.get((of, other, name))
        e = f"E {fixed(score.e)} on " if score is not None and score.e is not None else ""
        found.setdefault(said.text, Suggestion(said.text, f"{e}{other} of {of}"))
    return list(found.values())
