"""Matched pairs side by side, one of them in full, and rewritten texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from claimed_study import claimed_session
from claims_study import BEST, NOT_VALID
from rich.cells import cell_len
from screens import drawn, screen_lines
from stage import SIZES, Stage, in_terminal, text_of

from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.tui.pairs import MatchedPairs, matched_pairs, rewriting_tests
from headtorch.tui.palette import CAVE
from headtorch.tui.panes.figures import percent
from headtorch.tui.panes.pair_lines import pair_in_full, pair_line
from headtorch.tui.screens.pairs import PairsScreen
from headtorch.tui.session import Session


class Framed(Stage):
    CSS = ".pane { border: round $ht-line; border-subtitle-align: right; }"


@pytest.fixture
def session(claimed: Path) -> Session:
    return claimed_session(claimed, BEST)


def pairs_of(session: Session) -> MatchedPairs:
    neuron = session.selection.neuron
    assert neuron is not None
    found = matched_pairs(session, neuron)
    assert isinstance(found, MatchedPairs)
    return found


def screen_of(session: Session) -> PairsScreen:
    found = pairs_of(session)
    return PairsScreen(found, " of", rewriting_tests(session, found))


def test_a_pair_is_two_recorded_places_with_what_the_rule_and_the_heads_do_there(session: Session) -> None:
    assert session.study is not None
    arrays = session.study.load_arrays(session.state.claim_artefacts[BEST, None, "rules"])
    places = ClaimPlaces.of(session.study.load_arrays(session.state.firing[BEST].artefact))
    found = pairs_of(session)
    claim = session.state.context_claims[BEST, "rules"]
    assert found.heads == [one.head for one in claim.heads] and len(found.pairs) == claim.pairs
    for at, pair in enumerate(found.pairs):
        on, off = int(arrays["pair_on"][at]), int(arrays["pair_off"][at])
        assert places.firing[on] and not places.firing[off] and places.pair[on] == places.pair[off]
        assert (pair.on.tokens, pair.off.tokens) == (places.text(on), places.text(off))
        assert pair.on.tokens[-1] == pair.off.tokens[-1], "the last token is the same"
        assert (pair.on.holds, pair.off.holds) == (bool(arrays["holds"][on]), bool(arrays["holds"][off]))
        difference = float(places.activation[on] - places.activation[off])
        np.testing.assert_allclose(np.array(pair.taken, float) * difference, arrays["taken"][at], rtol=1e-5)
        np.testing.assert_allclose(np.array(pair.restored, float) * difference, arrays["restored"][at], rtol=1e-5)
    right = sum(pair.on.holds for pair in found.pairs), sum(not pair.off.holds for pair in found.pairs)
    assert right == (claim.true_firing, claim.true_off), "E counts the same places"


@pytest.mark.parametrize("size", [*SIZES, (60, 20)])
@in_terminal
async def test_both_texts_of_a_pair_end_at_the_token_they_share(session: Session, size: tuple[int, int]) -> None:
    app = Framed(screen_of(session))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        lines = screen_lines(app)
        assert {cell_len(line) for line in lines} == {size[0]}
        assert "Matched pairs · L18.N98 → ·of" in lines[0] and "fires here" in lines[1]
        pair = pairs_of(session).pairs[0]
        left, right = lines[2].strip("│").split(" │ ")
        assert left.endswith(pair.on.tokens[-1]) and right.rstrip("│ ").endswith(pair.off.tokens[-1])
        assert f"{pair.on.activation:.2f} ● " in left and f"{pair.off.activation:.2f} ".replace("-", "−") in right
        assert len(left) - 1 == len(right), "each has half of the line"


@in_terminal
async def test_below_stands_the_pair_of_the_cursor_in_full(session: Session) -> None:
    found = pairs_of(session)
    app = Framed(screen_of(session))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("j", "j")
        await pilot.pause()
        text, pair = text_of(app), found.pairs[2]
        assert "pair 3 of 16" in text and f"{pair.on.title}, at {pair.on.position}" in text
        line = " ".join(next(line for line in text.splitlines() if "L1.H2 " in line).split())
        assert f"L1.H2 {percent(pair.taken[0])} {percent(pair.restored[0])}" in line and "█" in line


@in_terminal
async def test_n_goes_to_the_pairs_that_the_rule_gets_wrong(session: Session) -> None:
    wrong = pairs_of(session).wrong
    app = Framed(screen_of(session))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("g")
        for at in [*wrong, wrong[0]]:
            await pilot.press("n")
            await pilot.pause()
            assert app.first.pairs.cursor == at
            assert "✗" in next(line for line in screen_lines(app) if "▸" in line)
        await pilot.press("N")
        assert app.first.pairs.cursor == wrong[-1]
        assert f"rule right about {16 - len(wrong)} of 16 pairs" in text_of(app)


@in_terminal
async def test_without_a_wrong_pair_it_says_so(session: Session) -> None:
    found = pairs_of(session)
    right = MatchedPairs(found.claim, found.heads, [pair for pair in found.pairs if pair.is_right])
    app = Framed(PairsScreen(right, " of", []))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("n")
        await pilot.pause()
        assert [note.message for note in app._notifications] == ["The rule is right about every pair."]


@in_terminal
async def test_tab_leads_to_the_rewritten_texts_of_the_neuron_and_of_the_head_and_back(session: Session) -> None:
    app = Framed(screen_of(session))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("tab")
        await pilot.pause()
        text = text_of(app)
        assert "Rewritten texts" in text and "Matched pairs" not in text
        assert "L18.N98 fires where" in text and f"{session.selection.head} where" in text
        assert "people and in «any» end" in text and "placebo" in text
        await pilot.press("G", "k", "n", "tab")
        await pilot.pause()
        assert "Matched pairs" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.returned == [None]


@in_terminal
async def test_pairs_that_were_not_recorded_leave_the_rewritten_texts(session: Session) -> None:
    session.state.claim_artefacts.clear()
    app = Framed(screen_of(session))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "Rewritten texts" in text_of(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "The pairs of this claim were not recorded." in text_of(app)
        assert app.first.copy_text() == ""


def test_a_damaged_artefact_is_said_once_and_leaves_no_pairs(claimed: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "damaged"
    shutil.copytree(claimed, folder)
    session = claimed_session(folder, BEST)
    notices: list[str] = []
    session.on_notice = lambda text, is_error: notices.append(text)
    (folder / "artefacts" / session.state.firing[BEST].artefact).write_bytes(b"nothing")
    assert pairs_of(session).pairs == [] and pairs_of(session).missing and len(notices) == 1


def test_a_neuron_without_a_claim_says_why(session: Session) -> None:
    session.state.context_claims.clear()
    found = matched_pairs(session, BEST)
    assert isinstance(found, str) and "too few matched places" in found


@in_terminal
async def test_the_copied_text_is_raw_and_what_is_shown_is_inert(session: Session, claimed: Path) -> None:
    hostile = claimed_session(claimed, NOT_VALID)
    app = Framed(screen_of(hostile))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert "\\x1b[31mred" in text_of(app)
        pair = pairs_of(hostile).pairs[0]
        assert app.first.copy_text() == "".join(pair.on.tokens) + "\n" + "".join(pair.off.tokens)
        await pilot.press("tab")
        await pilot.pause()
        assert "<script>" in text_of(app)


def test_the_firing_token_is_underlined_and_wrong_pairs_are_marked(session: Session) -> None:
    for pair in pairs_of(session).pairs:
        line = pair_line(pair, 100, CAVE, selected=False)
        assert (line.plain[1] == "✗") is not pair.is_right
        under = [line.plain[span.start : span.end] for span in line.spans if getattr(span.style, "underline", False)]
        assert under == [pair.on.tokens[-1], pair.off.tokens[-1]]
        assert all(line.cell_len <= width for width in (40, 76) for line in pair_in_full(pair, [], width, CAVE))


def test_the_help_explains_every_mark() -> None:
    for word in ("matched pair", "act:", "●", "○", "✗", "takes:", "restores:", "«quotes»", "placebo", "underlined"):
        assert word in PairsScreen.help, word


@in_terminal
async def test_colours_are_those_of_the_theme(session: Session) -> None:
    app = Framed(screen_of(session))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("tab")
        await pilot.pause()
        assert drawn(app, "«any»")[0].style.underline
