"""The list of neurons opens with 200,000 rows in 0.3 s and sorts, filters or scrolls in 0.2 s.

    python -m benchmarks.neuron_table

From the command to the drawn screen, in a terminal of 120 × 36 that is not there. Time is that of the process, so that
other work on the machine does not count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from textual.app import App, ComposeResult

from benchmarks.table import Row, main, within
from headtorch.core.engine.protocol import NeuronList, Request
from headtorch.tui.panes.neuron_table import COLUMNS
from headtorch.tui.panes.neurons import NeuronsPane
from headtorch.tui.session import Session

ROWS, OPEN_SECONDS, STEP_SECONDS = 200_000, 0.3, 0.2


class NoEngine:
    """Nothing is asked of an engine here."""

    def next_id(self) -> int:
        """Any number."""
        return 1

    def send(self, request: Request) -> None:
        """Nowhere to send it."""


class Bench(App[None]):
    """The pane and nothing else."""

    def compose(self) -> ComposeResult:
        """The pane."""
        yield NeuronsPane()


def neuron_list(rows: int) -> NeuronList:
    """Five layers of neurons over a vocabulary of 50,000 tokens."""
    random = np.random.default_rng(0)
    token = random.integers(0, 50_000, rows).tolist()
    kinds = ("ordinary", "prediction", "suppression", "entropy")
    return NeuronList(
        request=1,
        layer=(np.arange(rows) * 5 // rows).tolist(),
        index=(np.arange(rows) % -(-rows // 5)).tolist(),
        token_id=token,
        token=[f" token{i:x}" for i in token],
        congruence=random.normal(3, 1, rows).tolist(),
        cosine=random.uniform(0, 0.6, rows).tolist(),
        z=random.normal(8, 3, rows).tolist(),
        kind=[kinds[i] for i in random.integers(0, 4, rows).tolist()],
    )


async def measure(count: int) -> dict[str, float]:
    """Seconds by what was done."""
    session = Session(NoEngine(), all_neurons=neuron_list(count))
    app, took = Bench(), {}
    async with app.run_test(size=(120, 36)) as pilot:
        pane = app.query_one(NeuronsPane)
        pane.show(session)
        await pilot.pause()

        def timed(name: str, act: Callable[[], object]) -> None:
            start = time.process_time()
            act()
            app.screen._compositor.render_strips()
            took[name] = time.process_time() - start

        timed("open", pane.action_toggle_all)
        for column in COLUMNS:
            timed(f"sort by {column}", partial(pane.sort_by, column))
        timed("turn round", pane.action_reverse)
        timed("to the end", pane.action_last)
        timed("half a page up", partial(pane.action_half_page, -1))
        timed("one line up", partial(pane.action_cursor, -1))
        for text in ("tokenab", "L3", "entropy L2 a", ""):
            timed(f"filter {text!r}", partial(pane.set_filter, text))
        timed("a live update", partial(pane.show, session))
    return took


def rows(device: str = "cpu") -> list[Row]:
    """Opening, and the slowest of all else that can be done; a GPU makes no difference to them."""
    took = asyncio.run(measure(ROWS))
    opened = took.pop("open")
    slowest = max(took, key=took.__getitem__)
    what = f"neuron table of {ROWS:,} rows: "
    return [
        within(f"{what}open", opened, OPEN_SECONDS),
        within(f"{what}sort, filter, scroll", took[slowest], STEP_SECONDS, note=f"the slowest: {slowest}"),
    ]


if __name__ == "__main__":
    main(rows, "neuron_table")
