"""The detail pane: its tabs are chosen by keys and clicks, scroll, and fit every size."""

from __future__ import annotations

import msgspec
import pytest
from detail_pages import words
from pane_stage import SIZES, on_stage, shown
from rich.cells import cell_len
from sample_records import AN, LOOKUP, PREVIOUS
from sample_study import bare_session

from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.detail.pane import TABS
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [*SIZES, (38, 24), (38, 6)])
async def test_every_tab_fits_every_size(session: Session, size: tuple[int, int]) -> None:
    async with on_stage(DetailPane(), session, size) as (app, pilot):
        await pilot.press("left")
        for tab in TABS:
            lines = shown(app).splitlines()
            assert app.pane.tab == tab and tab in lines[1] and len(lines) == size[1]
            assert {cell_len(line) for line in lines} == {size[0]}
            assert "4 L2.H7 on L3" in lines[0]
            await pilot.press("right")
        assert app.pane.tab == TABS[0] == "Claim"


async def test_keys_and_clicks_change_the_tab_and_tell(session: Session) -> None:
    async with on_stage(DetailPane(), session, (120, 13)) as (app, pilot):
        await pilot.press("l", "right", "h", "left", "h", "h")
        names = ["Evidence", "Ablation", "Evidence", "Explanation", "Claim", "Notes"]
        assert [told.tab for told in app.told if isinstance(told, DetailPane.TabChanged)] == names
        bar = shown(app).splitlines()[1]
        for tab in TABS:
            await pilot.click(DetailPane, offset=(bar.index(tab) + 1, 1))
            assert app.pane.tab == tab
        await pilot.click(DetailPane, offset=(100, 1))
        await pilot.click(DetailPane, offset=(3, 5))
        assert app.pane.tab == "Notes"
        app.pane.show_tab("Ablation")
        await pilot.pause()
        assert "Replaced by" in shown(app)


async def test_long_tabs_scroll_and_another_head_begins_at_the_top(session: Session) -> None:
    async with on_stage(DetailPane(), session, (80, 12)) as (app, pilot):
        await pilot.press("l")
        top = shown(app)
        assert "● active" in top
        await pilot.press("j", "j", "k")
        assert "● active" not in shown(app) and "the apple" in shown(app) and app.pane.scroll_offset.y == 1
        await pilot.press("G")
        assert "an owl and an eel met" in shown(app) and "Evidence" in shown(app)
        await pilot.press("g")
        assert shown(app) == top
        await pilot.press("ctrl+d")
        assert app.pane.scroll_offset.y == 4
        await pilot.press("ctrl+u")
        assert app.pane.scroll_offset.y == 0
        await pilot.press("G")
        session.selection.head = PREVIOUS
        app.pane.show(session)
        await pilot.pause()
        assert "● active on 6" in shown(app) and "4 L1.H2 on L3.N892" in shown(app)


async def test_showing_the_same_again_sends_nothing(session: Session) -> None:
    pane = DetailPane()
    async with on_stage(pane, session, (120, 13)) as (_, _pilot):
        sent: list[object] = []
        refresh = pane.refresh
        pane.refresh = lambda *regions, **more: (sent.append(regions), refresh(*regions, **more))[1]  # type: ignore
        pane.show(session)
        assert sent == []
        session.state.scores[AN, LOOKUP, "rules"] = msgspec.structs.replace(
            session.state.scores[AN, LOOKUP, "rules"], q=0.9
        )
        pane.show(session)
        assert [region[0].height for region in sent] == [1]  # the line with q


async def test_a_resize_wraps_the_text_anew(session: Session) -> None:
    async with on_stage(DetailPane(), session, (120, 20)) as (app, pilot):
        assert "begins with a vowel sound." in shown(app)
        await pilot.resize_terminal(40, 20)
        await pilot.pause()
        assert "Active when the text has named, a " in shown(app) and "begins with" in words(
            shown(app).replace("│", "")
        )


async def test_what_is_copied_is_the_whole_tab(session: Session) -> None:
    async with on_stage(DetailPane(), session, (80, 8)) as (app, _):
        assert app.pane.copy_text().splitlines()[0].startswith("Active when the text")
        assert "AUROC" in app.pane.copy_text() and "AUROC" not in shown(app)


async def test_without_a_neuron_the_title_names_the_pane() -> None:
    async with on_stage(DetailPane(), bare_session(), (80, 12)) as (app, pilot):
        assert "4 Detail" in shown(app) and "No neuron is selected." in shown(app)
        await pilot.press(*"lhjkgG", "ctrl+d", "ctrl+u")


def test_the_help_explains_every_abbreviation() -> None:
    scores = ("E is", "n counts", "F1", "MCC", "p:", "q:", "AUROC", "lift", "base rate", "┼")
    tables = ("A(h)", "KS", "Δ log p", "nats", "rank", "elsewhere", "back", "attends", "fires", "lower", *"✓✗●○")
    claims = (
        "context claim",
        "matched pairs",
        "ceiling",
        "taken",
        "restored",
        "placebo",
        "candidate",
        "p(t)",
        "carries",
    )
    for word in (*scores, *tables, *claims):
        assert word in DetailPane.help, word
