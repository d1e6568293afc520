"""Pane 1 in a study that tests claims: valid neurons first, those driven by their last token and random ones apart."""

from __future__ import annotations

from pathlib import Path

import msgspec
from claimed_study import claimed_session
from claims_study import BEST, BY_TOKEN, NOT_VALID, RAISED, RANDOM, SUPPRESSED
from pane_app import PaneApp
from screens import screen_lines
from stage import in_terminal, text_of

from headtorch.core.study.conclusions import conclusions
from headtorch.tui.panes.neurons import NeuronsPane
from headtorch.tui.session import Session

ORDER = [BEST, RAISED, SUPPRESSED, NOT_VALID, BY_TOKEN, RANDOM]
HEADINGS = ("driven by the last token", "random")


def app_with(folder: Path) -> PaneApp:
    return PaneApp(NeuronsPane(), claimed_session(folder))


def shown_neurons(pane: NeuronsPane) -> list[object]:
    return [pane.neuron_at(line) for line in range(pane.line_count()) if pane.neuron_at(line) is not None]


@in_terminal
async def test_valid_neurons_come_first_then_by_context_share_and_two_groups_below(claimed: Path) -> None:
    app = app_with(claimed)
    async with app.run_test(size=(80, 24)):
        assert shown_neurons(app.pane) == ORDER
        lines = screen_lines(app)
        assert "1 Neurons · valid first" in lines[0] and "heads▾" in lines[1] and "6 of 6" in lines[-1]
        assert "driven by the last token" in lines[6] and str(BY_TOKEN) in lines[7]
        assert "random" in lines[8] and f"~{RANDOM}" in lines[9]


@in_terminal
async def test_the_columns_are_the_numbers_of_the_study(claimed: Path) -> None:
    app = app_with(claimed)
    findings = [row for row in conclusions(app.session.state).findings if row.neuron == str(BEST)]
    async with app.run_test(size=(80, 24)):
        header, first = screen_lines(app)[1:3]
        assert header.strip("│ ").split()[:6] == ["neuron", "token", "P", "heads▾", "E", "ok"]
        e = app.session.state.context_claims[BEST, "rules"].e
        assert first.strip("│▸ ").split()[:7] == [
            str(BEST),
            "·of",
            "0.88✓",
            "61",
            "%",
            f"{e:.2f}",
            f"{len(findings)}/4",
        ]
        assert "−21 %" in screen_lines(app)[7]


@in_terminal
async def test_the_cursor_passes_over_headings_both_ways_and_by_clicks(claimed: Path) -> None:
    app = app_with(claimed)
    async with app.run_test(size=(80, 24)) as pilot:
        seen = [app.pane.selected_neuron]
        for key in ["j"] * 6 + ["k"] * 6:
            await pilot.press(key)
            seen.append(app.pane.selected_neuron)
        assert seen == [*ORDER, RANDOM, *reversed(ORDER[:-1]), BEST]
        await pilot.click(offset=(10, 6))  # on a heading
        assert app.pane.selected_neuron == BY_TOKEN
        await pilot.press("G")
        await pilot.press("g")
        assert app.pane.selected_neuron == BEST


@in_terminal
async def test_a_group_alone_begins_with_its_heading_and_the_cursor_below_it(claimed: Path) -> None:
    app = app_with(claimed)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.set_filter(str(RANDOM))
        await pilot.pause()
        assert app.pane.selected_neuron == RANDOM and "1 of 6" in text_of(app)
        await pilot.press("k", "g")
        assert app.pane.selected_neuron == RANDOM
        await pilot.press("r")
        assert app.pane.selected_neuron is None


@in_terminal
async def test_other_orders_stay_inside_the_groups(claimed: Path) -> None:
    app = app_with(claimed)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.sort_by("neuron")
        await pilot.pause()
        assert shown_neurons(app.pane) == [*sorted([BEST, RAISED, SUPPRESSED, NOT_VALID]), BY_TOKEN, RANDOM]
        assert "valid first" not in text_of(app)
        app.pane.sort_by("heads")
        app.pane.sort_by("heads")  # turned round
        await pilot.pause()
        assert shown_neurons(app.pane) == [NOT_VALID, SUPPRESSED, RAISED, BEST, BY_TOKEN, RANDOM]


@in_terminal
async def test_neurons_whose_share_is_not_measured_yet_come_behind_those_of_their_kind(claimed: Path) -> None:
    session = claimed_session(claimed)
    del session.state.context_share[BEST]
    app = PaneApp(NeuronsPane(), session)
    async with app.run_test(size=(80, 24)):
        assert shown_neurons(app.pane) == [RAISED, SUPPRESSED, BEST, NOT_VALID, BY_TOKEN, RANDOM]
        session.state.context_share.clear()
        app.show()
        assert not any(heading in text_of(app) for heading in HEADINGS)


@in_terminal
async def test_a_narrow_pane_keeps_token_validity_share_and_claims(claimed: Path) -> None:
    app = app_with(claimed)
    async with app.run_test(size=(41, 20)):
        assert screen_lines(app)[1].strip("│ ").split() == ["neuron", "token", "P", "heads▾", "ok"]


def test_the_paper_preset_has_neither_groups_nor_columns_of_claims(claimed: Path) -> None:
    session: Session = claimed_session(claimed)
    assert session.state.settings is not None
    session.state.settings = msgspec.structs.replace(session.state.settings, preset="paper")

    @in_terminal
    async def look() -> None:
        app = PaneApp(NeuronsPane(), session)
        async with app.run_test(size=(120, 20)):
            header = screen_lines(app)[1].split()
            assert "heads" not in header and "ok" not in header and "c▾" in header

    look()


def test_the_help_explains_the_columns() -> None:
    told = " ".join(NeuronsPane.help.split())
    for word in (
        "P:",
        "✓",
        "heads:",
        "context share",
        "Below 20 %",
        "driven by the last token",
        "ok:",
        "E:",
        "n:",
        "~",
    ):
        assert word in told, word
