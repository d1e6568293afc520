"""The best prompts so far of a study's neurons, told while the scan goes on."""

from __future__ import annotations

from collections.abc import Callable

from headtorch.core.analysis.places import HALVES
from headtorch.core.analysis.scan import BestSoFar
from headtorch.core.engine.workspace import Workspace
from headtorch.core.events import AnyEvent, BestPrompts
from headtorch.core.records import NextTokenNeuron, Prompt
from headtorch.core.study.study import Study

SHOWN = 5  # prompts of a neuron, both halves together
TAIL = 16  # tokens of each, not trimmed


class BestPromptsTeller:
    """Called by the scan; tells the neurons whose best places have changed since the last time."""

    def __init__(self, workspace: Workspace, study: Study, tell: Callable[[AnyEvent], None]) -> None:
        self._workspace, self._study, self._tell = workspace, study, tell
        self._told: dict[object, list[tuple[int, int]]] = {}

    def __call__(self, best: BestSoFar) -> None:
        for row in self._study.state.neurons.values():
            prompts = self._prompts(row, best)
            places = [(prompt.document, prompt.position) for prompt in prompts]
            if prompts and self._told.get(row.neuron) != places:
                self._told[row.neuron] = places
                self._tell(BestPrompts(neuron=row.neuron, prompts=prompts))

    def _prompts(self, row: NextTokenNeuron, best: BestSoFar) -> list[Prompt]:
        found = []
        for half in HALVES:
            top = best(row.neuron, half, row.sign)
            places = zip(top.activation, top.document, top.position, top.window, strict=True)
            for activation, document, position, window in list(places)[:SHOWN]:
                if activation * row.sign > 0:
                    found.append((float(activation), int(document), int(position), int(window)))
        found.sort(key=lambda place: -place[0] * row.sign)
        return [self._prompt(row, *place) for place in found[:SHOWN]]

    def _prompt(self, row: NextTokenNeuron, activation: float, document: int, position: int, window: int) -> Prompt:
        """The end of a context; the activation is that in the whole of it."""
        model, corpus = self._workspace.model, self._workspace.corpus
        without_first = model.facts.first_token is None
        context = self._workspace.row(document, position)
        kept = min(TAIL, len(context) - (not without_first))
        ids = [*context[: not without_first], *context[len(context) - kept :]]
        document_ids = corpus.document_ids(document)
        following = int(document_ids[position + 1]) if position + 1 < len(document_ids) else None
        return Prompt(
            neuron=row.neuron,
            document=document,
            title=corpus.corpus.titles[document],
            position=position,
            start=position - kept + 1,
            window_start=corpus.windows[window].start - without_first,
            token_ids=ids,
            tokens=model.token_texts(ids),
            activation=activation,
            full_activation=activation,
            kept_ratio=1.0,
            cluster=corpus.cluster(document),
            half=corpus.half(document),
            long=False,
            next_token_id=following,
            next_token=None if following is None else model.token_text(following),
        )
