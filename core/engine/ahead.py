"""Work that small requests share, done while nobody asks: the first of them then waits no longer than the next.

A piece that is interrupted by a request loses little: traces are kept batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headtorch.core.records import NeuronId

if TYPE_CHECKING:
    from headtorch.core.engine.session import Session


def work_ahead(session: Session) -> Iterator[None]:
    """What visiting a neuron needs beside the neuron itself, a piece at a step; nothing without an index.

    Raises Interrupted, through the session's watch, when a request has come.
    """
    workspace = session.workspace
    if workspace.index_at_hand() is None:
        return
    for layer in sorted(set(workspace.layers), reverse=True):
        session.rows_of(layer)
        yield
        workspace.baselines([NeuronId(layer, 0)])
        yield
        workspace.validator.prepare(layer, session.engine)
        yield
    session.means  # noqa: B018 (computes them)
