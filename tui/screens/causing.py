"""What the workbench's keys ask about cause: heads taken away, effects, cooperation, spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headtorch.core.engine.protocol import AblateHead, MeasureCooperation, MeasureEffects, MeasureSpectrum
from headtorch.core.records import HeadId, NeuronId
from headtorch.tui.panes.detail.pane import Tab
from headtorch.tui.panes.head_entries import head_entries, why_no_list
from headtorch.tui.refusals import busy, no_head, no_neuron
from headtorch.tui.requests import UNNUMBERED
from headtorch.tui.selection import MEASURES

if TYPE_CHECKING:
    from headtorch.tui.screens.workbench import Workbench

WITH = 2  # heads taken away with the selected one
CURVES = 4  # heads of a spectrum, the selected one first


class Causing:
    """The workbench's questions to the engine about what heads really do."""

    def __init__(self, workbench: Workbench) -> None:
        self._bench = workbench

    def ablate(self, *, jointly: bool = False, mediation: bool = False) -> None:
        """Take the selected head away, alone or with the next strongest."""
        bench, session = self._bench, self._bench.session
        if bench.refuses(no_head(session) or bench.no_engine() or busy(session, AblateHead)):
            return
        others = self._next_strongest(WITH) if jointly else []
        if jointly and bench.refuses(None if others else "No other head feeds this neuron."):
            return
        session.ablate(others, mediation=mediation)
        self._show("Ablation")

    def _next_strongest(self, count: int) -> list[HeadId]:
        """By exact effect where that is known, else by attribution."""
        state, chosen = self._bench.session.state, self._bench.session.selection
        if chosen.neuron is None:
            return []
        known = state.effects.get(chosen.neuron)
        if known is not None:
            gated = state.model is not None and state.model.gated
            ranked = sorted(known.heads, key=lambda one: -abs(one.activation if gated else one.pre_activation))
            heads = [one.head for one in ranked]
        else:
            means = state.mean_headlines(chosen.neuron)
            heads = sorted(means, key=lambda head: -abs(means[head]))
        return [head for head in heads if head != chosen.head][:count]

    def measure(self, kind: type[MeasureEffects | MeasureCooperation | MeasureSpectrum]) -> None:
        """Ask for a measurement of the selected neuron."""
        bench, session = self._bench, self._bench.session
        if bench.refuses(no_neuron(session) or bench.no_engine() or busy(session, kind)):
            return
        neuron = session.selection.neuron
        assert isinstance(neuron, NeuronId)
        head = session.feeding_head()
        if kind is MeasureSpectrum and head is not None:
            heads = [head, *self._next_strongest(CURVES - 1)]
            session.requests.ask(MeasureSpectrum(id=UNNUMBERED, neuron=neuron, heads=heads))
        else:
            session.requests.ask(kind(id=UNNUMBERED, neuron=neuron))
        if kind is MeasureEffects:
            session.selection.measure, session.selection.grid = "effect", True
        self._show("Cause", heads=kind is MeasureEffects)

    def cycle(self) -> None:
        """The grid's next number; from the list to the grid as it was."""
        chosen = self._bench.session.selection
        if head_entries(self._bench.session) is not None and not chosen.grid:
            self.toggle_grid()
            return
        chosen.measure = MEASURES[(MEASURES.index(chosen.measure) + 1) % len(MEASURES)]
        self._bench.changed(frozenset({"heads"}), now=True)

    def toggle_grid(self) -> None:
        """Every head as a grid, or the list of those that claims are about."""
        bench, chosen = self._bench, self._bench.session.selection
        if bench.refuses(no_neuron(bench.session) or why_no_list(bench.session)):
            return
        chosen.grid = not chosen.grid
        bench.changed(frozenset({"heads"}), now=True)

    def _show(self, tab: Tab, *, heads: bool = False) -> None:
        bench = self._bench
        bench.changed(
            frozenset({"detail", "progress", "heads"}) if heads else frozenset({"detail", "progress"}), now=True
        )
        bench.detail.show_tab(tab)
        bench.focus_pane(4)
