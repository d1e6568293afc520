"""Pane 3 as a list: the heads that claims are about, or the last tokens of a neuron that heads do not drive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from claimed_study import claimed_session
from claims_study import BEST, BY_TOKEN, HEADS_OF, SUPPRESSED
from pane_stage import SIZES, on_stage, shown
from rich.cells import cell_len
from screens import drawn

from headtorch.core.claims import ClaimHead, MatchedHead
from headtorch.core.format import percent_with_interval, points_with_interval
from headtorch.core.records import HeadId
from headtorch.tui.claims import chosen_heads
from headtorch.tui.panes.figures import fixed, percent
from headtorch.tui.panes.head_entries import head_entries
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio
NARROW, WIDE = (35, 20), (80, 24)


def best(claimed: Path) -> Session:
    return claimed_session(claimed, BEST)


def rows(text: str) -> list[list[str]]:
    """The lines of heads, as words."""
    lines = [line.strip("│▸ ").split() for line in text.splitlines()[2:]]
    return [line for line in lines if line and line[0].startswith("L") and "·" not in line[1:2]]


async def test_the_heads_that_take_most_come_first_with_their_claims(claimed: Path) -> None:
    session = best(claimed)
    matched = {one.head: one for one in session.state.context_claims[BEST, "rules"].heads}
    order = sorted(HEADS_OF[BEST], key=lambda head: -matched[head].taken.value)
    async with on_stage(HeadsPane(), session, WIDE) as (app, _):
        text = shown(app)
        assert "3 Heads · by share" in text and "heads 61 % · 3 of 171" in text
        assert [line[0] for line in rows(text)] == [str(head) for head in order]
        for head, line in zip(order, rows(text), strict=True):
            claim, score = session.state.head_claims[BEST, head, "rules"], session.state.scores[BEST, head, "rules"]
            assert " ".join(line[1:3]) == percent(matched[head].taken.value)
            assert points_with_interval(claim.contrast) in " ".join(line)
            assert line[-3] == fixed(score.e) and line[-2] == "attr"
        assert [line[-1] for line in rows(text)].count("✓") == 1


@pytest.mark.parametrize("size", [*SIZES, NARROW, (30, 16), (24, 10)])
async def test_it_fits_every_size_and_narrow_ones_keep_what_matters(claimed: Path, size: tuple[int, int]) -> None:
    async with on_stage(HeadsPane(), best(claimed), size) as (app, _):
        lines = shown(app).splitlines()
        assert {cell_len(line) for line in lines} == {size[0]} and len(lines) == size[1]
        assert "takes" in lines[1] and "Δ" in lines[1]
        if size == NARROW:
            assert "+28 [21, 37]" in lines[2] and "E" not in lines[1].split()


async def test_keys_walk_the_list_and_tell_and_s_goes_round(claimed: Path) -> None:
    session = best(claimed)
    order = [one.head for one in chosen_heads(session, BEST)]
    session.select_head(order[0])
    async with on_stage(HeadsPane(), session, WIDE) as (app, pilot):
        await pilot.press("j", "down", "j", "k", "G", "g", "l")
        heads = [told.head for told in app.told]
        assert heads == [order[1], order[2], order[1], order[2], order[0]]
        assert all(isinstance(told, HeadsPane.HeadMoved) and told.feeds for told in app.told)
        await pilot.press("s", "s", "s", "enter")
        assert isinstance(app.told[-1], HeadsPane.HeadChosen) and app.told[-1].head == order[0]
        await pilot.click(HeadsPane, offset=(4, 3))
        assert app.told[-1].head == order[1]
        await pilot.click(HeadsPane, offset=(4, 3))
        assert isinstance(app.told[-1], HeadsPane.HeadChosen)


async def test_below_stands_what_is_known_of_the_cursors_head(claimed: Path) -> None:
    session = best(claimed)
    head = chosen_heads(session, BEST)[0].head
    one = next(one for one in session.state.context_claims[BEST, "rules"].heads if one.head == head)
    async with on_stage(HeadsPane(), session, WIDE) as (app, _):
        text = " ".join(shown(app).replace("│", " ").split())
        assert f"takes {percent_with_interval(one.taken)}" in text
        assert f"restores {percent_with_interval(one.restored)}" in text
        assert "attends 62 %" in text and "Spearman with its effect 0.93" in text and "finding" in text
        copied = app.pane.copy_text()
        assert copied.startswith(f"{BEST}: {head} takes") and "finding" in copied


async def test_a_head_that_is_not_explained_says_why_and_an_unmeasured_share_is_marked(claimed: Path) -> None:
    session = best(claimed)
    event = session.state.claim_heads[BEST]
    rare = ClaimHead(
        head=HeadId(9, 1), effect=-0.12, suppressing=True, sparse=True, label="carries", label_effect_spearman=None,
        active_share=0.02, not_explained="too rare",
    )  # fmt: skip
    session.state.claim_heads[BEST] = msgspec.structs.replace(event, heads=[*event.heads, rare])
    session.select_head(rare.head)
    async with on_stage(HeadsPane(), session, WIDE) as (app, _):
        line = next(line for line in shown(app).splitlines() if "▸ L9.H1" in line)
        assert "−12 %e" in line and "too rare" in line
        text = " ".join(shown(app).replace("│", " ").split())
        assert "not explained: too rare" in text and "carries ≥ 20 %" in text and "suppressing · sparse" in text


async def test_heads_exchanged_but_not_chosen_stand_below(claimed: Path) -> None:
    session = best(claimed)
    claim = session.state.context_claims[BEST, "rules"]
    other: MatchedHead = msgspec.structs.replace(claim.heads[0], head=HeadId(15, 5))
    session.state.context_claims[BEST, "rules"] = msgspec.structs.replace(claim, heads=[*claim.heads, other])
    entries = head_entries(session)
    assert entries is not None and entries.entries[-1].head == other.head and entries.chosen == 3
    async with on_stage(HeadsPane(), session, WIDE) as (app, _):
        assert "not chosen" in next(line for line in shown(app).splitlines() if "L15.H5" in line)


async def test_a_head_that_lowers_the_neuron_has_its_claim_oriented(claimed: Path) -> None:
    session = claimed_session(claimed, SUPPRESSED)
    entries = head_entries(session)
    assert entries is not None
    suppressing = next(one for one in entries.entries if one.head == HeadId(12, 8))
    assert suppressing.contrast is not None and suppressing.contrast.value > 0
    assert "suppressing" in suppressing.facts


async def test_of_a_neuron_driven_by_its_last_token_the_tokens_are_shown(claimed: Path) -> None:
    session = claimed_session(claimed, BY_TOKEN)
    async with on_stage(HeadsPane(), session, NARROW, colours=True) as (app, pilot):
        text = " ".join(shown(app).replace("│", " ").split())
        assert "3 Heads · last token" in text and "Driven by its last token: heads account for −21 %" in text
        assert "·more 2.50 █" in text and "·\\x1b[31mless 1.75 █" in text and "R² 0.64" in text
        assert drawn(app, "·more")[0].style.color.name == app.palette.token
        await pilot.press(*"jksgGl", "enter")
        await pilot.click(HeadsPane, offset=(4, 3))
        assert app.told == [] and app.pane.copy_text() == f"{BY_TOKEN}: ·more, ·\\x1b[31mless"


async def test_the_grid_is_there_all_the_same(claimed: Path) -> None:
    session = best(claimed)
    session.selection.grid = True
    async with on_stage(HeadsPane(), session, WIDE) as (app, _):
        assert "3 Heads · mean direct" in shown(app) and "% of Σ" in shown(app)
        session.selection.grid = False
        app.pane.show(session)
        await _settled(app)
        assert "3 Heads · by share" in shown(app)


async def test_the_same_again_is_not_drawn_again(claimed: Path) -> None:
    pane = HeadsPane()
    async with on_stage(pane, best(claimed), WIDE) as (app, _):
        sent: list[object] = []
        refresh = pane.refresh
        pane.refresh = lambda *regions, **more: (sent.append(regions), refresh(*regions, **more))[1]  # type: ignore
        pane.show(app.session)
        assert sent == []


def test_the_help_explains_every_mark_of_the_list() -> None:
    told = " ".join(HeadsPane.help.split())
    for word in (
        "takes:",
        " e ",
        "Δ:",
        "E:",
        "label:",
        "attr:",
        "carr:",
        "✓",
        "too rare",
        "always active",
        "not chosen",
    ):
        assert word in told, word
    for word in ("restores", "attends", "Spearman", "q:", "suppressing", "sparse", "context share", "R²", "last token"):
        assert word in told, word


async def _settled(app: object) -> None:
    from textual.pilot import Pilot

    await Pilot(app).pause()  # type: ignore[arg-type]
