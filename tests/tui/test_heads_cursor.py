"""The cursor of the grid of heads: by keys and by mouse, in models of every size."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from pane_stage import SIZES, on_stage, shown
from sample_records import AN, HEADS, LOOKUP, PREVIOUS, sample_arrays, sample_facts
from sample_study import sample_session
from textual.geometry import Region

from headtorch.core.events import HeadsAttributed
from headtorch.core.records import HeadId, HeadSummary, NeuronId
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio


# keys and the mouse

KEYS = [
    ("h", (2, 6)),
    ("left", (2, 6)),
    ("l", (2, 7)),  # the last already
    ("j", (1, 7)),
    ("down", (1, 7)),
    ("k", (3, 7)),
    ("up,up,up", (3, 7)),
    ("g", (3, 7)),
    ("home", (3, 7)),
    ("G", (0, 7)),
    ("end", (0, 7)),
    ("ctrl+d", (0, 7)),
    ("pagedown", (0, 7)),
    ("ctrl+u", (3, 7)),
    ("pageup", (3, 7)),
    ("h,right", (2, 7)),
]


async def test_keys_move_the_cursor_and_every_move_is_told(session: Session) -> None:
    async with on_stage(HeadsPane(), session, (38, 20)) as (app, pilot):
        for keys, head in KEYS:
            app.pane.cursor = LOOKUP
            del app.told[:]
            await pilot.press(*keys.split(","))
            assert app.pane.cursor == HeadId(*head), keys
            assert all(type(told) is HeadsPane.HeadMoved for told in app.told)
            assert [told.head for told in app.told[-1:]] == [HeadId(*head)] * (keys != "l"), keys


async def test_s_goes_through_the_heads_from_the_strongest_down(session: Session) -> None:
    values = np.abs(sample_arrays(AN)["headline"].mean(axis=0)).ravel()
    order = [HeadId(*divmod(int(i), HEADS)) for i in np.argsort(-values)]
    session.selection.head = order[0]
    async with on_stage(HeadsPane(), session) as (app, pilot):
        for wanted in order[1:6]:
            await pilot.press("s")
            assert app.pane.cursor == wanted
        app.pane.cursor = order[-1]
        await pilot.press("s")
        assert app.pane.cursor == order[0]


async def test_enter_p_and_clicks_are_told_to_the_workbench(session: Session) -> None:
    async with on_stage(HeadsPane(), session, (38, 20)) as (app, pilot):
        await pilot.press("enter", "p")
        assert isinstance(app.told[0], HeadsPane.HeadChosen) and app.told[0].head == LOOKUP and app.told[0].feeds
        assert isinstance(app.told[1], HeadsPane.ScopeToggled)
        del app.told[:]
        await pilot.click(HeadsPane, offset=(5, 4))  # inside the border: the first column of cells, layer 1
        assert [(type(told), told.head) for told in app.told] == [(HeadsPane.HeadMoved, HeadId(1, 0))]
        await pilot.click(HeadsPane, offset=(5, 4))
        assert isinstance(app.told[-1], HeadsPane.HeadChosen) and len(app.told) == 2
        for outside in ((0, 0), (5, 1), (2, 4), (36, 4), (5, 12)):
            await pilot.click(HeadsPane, offset=outside)
        assert len(app.told) == 2


async def test_the_cursor_follows_the_selection_and_only_that(session: Session) -> None:
    async with on_stage(HeadsPane(), session) as (app, pilot):
        session.selection.head = PREVIOUS
        app.pane.show(session)
        assert app.pane.cursor == PREVIOUS and not app.told
        await pilot.press("j")
        app.pane.show(session)  # something else changed: the cursor stays where the user put it
        assert app.pane.cursor == HeadId(0, PREVIOUS.index)


# large models


def big_session(layers: int, heads: int, neuron: NeuronId) -> Session:
    """A neuron of a large model; head h of layer l gives it l + h/100, every third a negative number."""
    session = sample_session()
    session.state.model = msgspec.structs.replace(sample_facts(), n_layers=layers, n_heads=heads)
    summaries = [
        HeadSummary(head=HeadId(layer, head), mean_direct=(layer + head / 100) * (-1 if (layer + head) % 3 == 0 else 1))
        for layer in range(neuron.layer + 1)
        for head in range(heads)
    ]
    session.state.attributed[neuron] = HeadsAttributed(
        neuron=neuron, artefact="none", heads=summaries, top_heads=[], max_error=0.0
    )
    session.selection.neuron, session.selection.head = neuron, HeadId(neuron.layer, 0)
    return session


async def test_a_large_model_scrolls_with_the_cursor() -> None:
    session = big_session(64, 64, NeuronId(50, 7))
    async with on_stage(HeadsPane(), session, (40, 24)) as (app, pilot):
        first = shown(app).splitlines()
        assert first[2].startswith("│▸50 ") and first[1].rstrip("│ ").endswith("…")
        await pilot.press("G", "l")
        app.pane.cursor = HeadId(0, 63)
        await pilot.pause()
        text = shown(app)
        assert "│▸ 0 " in text and "L0.H63 " in text and " 63" in text.splitlines()[1]
        assert text.splitlines()[2].startswith("│↑")
        for line in text.splitlines():
            assert len(line) <= 40
        await pilot.press("g")
        words = " ".join(shown(app).replace("│", " ").split())
        assert "▸63 ×" in words and "L63.H63 cannot feed L50.N7: it comes after it." in words
        await pilot.click(HeadsPane, offset=(6, 5))
        assert app.pane.cursor.layer == 60 and app.pane.cursor.index > 20


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    session = big_session(36, 20, NeuronId(31, 7))
    async with on_stage(HeadsPane(), session, (60, 20)) as (app, pilot):
        before = shown(app).splitlines()[2][:4]
        for event in ("down", "down", "up"):
            await pilot._post_mouse_events([_wheel(event)], widget=app.pane)
        assert before == "│▸31" and shown(app).splitlines()[2][:4] == "│↑30"
        assert app.pane.cursor == HeadId(31, 0) and not app.told


@pytest.mark.parametrize("shape", [(4, 8), (36, 20), (64, 64), (1, 1)])
async def test_at_every_size_the_cursor_is_seen_and_nothing_is_cut_by_the_border(shape: tuple[int, int]) -> None:
    session = big_session(*shape, NeuronId(shape[0] - 1, 7))
    async with on_stage(HeadsPane(), session) as (app, pilot):
        await pilot.press("j", "l", "l")
        for size in (*SIZES, (30, 10), (24, 6), (60, 20)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = shown(app).splitlines()
            assert {len(line) for line in lines} == {size[0]} and len(lines) == size[1]
            assert sum(line.startswith("│▸") for line in lines) == 1
            assert all(line[-1] in "│╮╯" for line in lines)


async def test_a_cursor_move_sends_a_few_rows_and_the_same_again_sends_none(session: Session) -> None:
    pane = HeadsPane()
    async with on_stage(pane, big_session(36, 20, NeuronId(31, 7)), (80, 40)) as (app, pilot):
        sent: list[Region] = []
        refresh = pane.refresh
        pane.refresh = lambda *regions, **more: (sent.extend(regions or [Region()]), refresh(*regions, **more))[1]
        pane.show(app.session)
        assert sent == []
        await pilot.press("down")
        assert 3 <= len(sent) <= 5 and {region.height for region in sent} == {1}


def _wheel(direction: str) -> type:
    from textual import events

    return events.MouseScrollDown if direction == "down" else events.MouseScrollUp
