"""How strongly each token lights up: of a neuron's prompts, and of whole documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from headtorch.core.analysis.activations import activations
from headtorch.core.analysis.attribution import attribute
from headtorch.core.analysis.interventions import CLEAN, readouts
from headtorch.core.analysis.lookup import lookups
from headtorch.core.engine.protocol import DocumentText, ReadDocument, ShadePrompts, Shading
from headtorch.core.engine.session import Session
from headtorch.core.engine.stages import prompt_rows
from headtorch.core.errors import InputError
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.records import HeadId, NeuronId
from headtorch.core.watch import Watch


def shade_prompts(session: Session, request: ShadePrompts) -> Iterator[Shading]:
    """The neuron's activation on every token that is shown; with a head what it looked up from the last one."""
    session.need_corpus()
    model, neuron = session.workspace.model, request.neuron
    prompts = session.study.state.all_prompts(neuron)
    if not prompts:
        raise InputError(f"There are no prompts of {neuron} to shade; look at the neuron first.")
    contexts = [session.workspace.row(prompt.document, prompt.position) for prompt in prompts]
    shown = contexts if request.full else [list(prompt.token_ids) for prompt in prompts]
    sources: list[list[float]] = []
    attention: list[list[float]] = []
    elsewhere = [0.0] * len(prompts)
    if request.head is not None:
        read = prompt_rows(session.study, session.workspace, prompts)
        given, attended = head_sources(model, read, neuron, request.head, session.engine)
        first = model.facts.first_token is not None
        sources = [_on_shown(row, len(r), len(s), first) for row, r, s in zip(given, read, shown, strict=True)]
        attention = [_on_shown(row, len(r), len(s), first) for row, r, s in zip(attended, read, shown, strict=True)]
        elsewhere = [float(row.sum()) - sum(on) for row, on in zip(given, sources, strict=True)]
    token = session.row_of(neuron).token_id
    [clean] = readouts(model, shown, neuron, token, [CLEAN], where="all", watch=session.engine)
    yield Shading(
        request=request.id,
        neuron=neuron,
        head=request.head,
        full=request.full,
        tokens=[model.token_texts(row) for row in shown],
        activation=activations(model, shown, neuron, session.engine),
        sources=sources,
        elsewhere=elsewhere,
        attention=attention,
        probability=np.exp(clean.log_p).tolist(),
    )


def head_sources(
    model: LanguageModel, rows: Sequence[Sequence[int]], neuron: NeuronId, head: HeadId, watch: Watch
) -> tuple[Float[np.ndarray, "prompt position"], Float[np.ndarray, "prompt position"]]:
    """What each token gives to the head's `direct` attribution at the end of its row, and the head's attention to it.

    A gated neuron's two reads become one number by the half rule.
    """
    found = lookups(model, rows, neuron, head, watch=watch)
    if not model.facts.gated:
        return found.sources[:, 0], found.attention
    whole = attribute(model, rows, [neuron] * len(rows), watch=watch)
    return whole.without_reads(found.sources), found.attention


def _on_shown(values: Float[np.ndarray, " position"], read: int, shown: int, first: bool) -> list[float]:
    """Values on a row of `read` tokens put on a row of `shown`: both end alike and begin with the first token."""
    tail = min(read, shown) - first
    on = np.zeros(shown)
    on[shown - tail :] = values[read - tail : read]
    if first:
        on[0] = values[0]
    return [float(value) for value in on]


def read_document(session: Session, request: ReadDocument) -> Iterator[DocumentText]:
    """A whole document; a neuron's activation is measured in the windows that the scan reads it in."""
    session.need_corpus()
    corpus, model, neuron = session.workspace.corpus, session.workspace.model, request.neuron
    if not 0 <= request.document < len(corpus):
        raise InputError(f"The corpus has documents 0-{len(corpus) - 1}, so no document {request.document}.")
    ids = corpus.document_ids(request.document).tolist()
    activation: list[float | None] = []
    if neuron is not None:
        model.check_neuron(neuron)
        activation = [None] * len(ids)
        windows = [corpus.windows[i] for i in corpus.windows.of_document(request.document)]
        measured = activations(model, [window.ids.tolist() for window in windows], neuron, session.engine)
        for window, values in zip(windows, measured, strict=True):
            activation[window.start : window.start + len(values) - 1] = values[1:]
    yield DocumentText(
        request=request.id,
        document=request.document,
        title=corpus.corpus.titles[request.document],
        tokens=model.token_texts(ids),
        neuron=neuron,
        activation=activation,
    )
