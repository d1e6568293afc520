"""The Claim tab: the context claim of the neuron, the claim about the head, and why either is missing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from claimed_study import claimed_session
from claims_study import BEST, BY_TOKEN, HEADS_OF, NOT_VALID, RAISED, RANDOM, SUPPRESSED
from detail_pages import page, page_lines, words
from pane_stage import SIZES, on_stage, shown
from rich.cells import cell_len
from sample_records import AN

from headtorch.core.claims import EditedToken, RewrittenText
from headtorch.core.format import percent, percent_with_interval, points_with_interval
from headtorch.core.records import HeadId
from headtorch.core.study.conclusions import BEFORE_CLAIMS, PAPER, conclusions
from headtorch.tui.palette import CAVE
from headtorch.tui.panes.detail import DetailPane
from headtorch.tui.panes.detail.claim import BESIDE, head_line
from headtorch.tui.panes.detail.rewritten import rewritten_lines
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio
PASSES = HeadId(1, 2)


@pytest.fixture
def session(claimed: Path) -> Session:
    session = claimed_session(claimed, BEST)
    session.select_head(PASSES)
    return session


def test_the_context_claim_comes_first_with_its_numbers(session: Session) -> None:
    claim = session.state.context_claims[BEST, "rules"]
    text = words(page(session, "Claim", 78))
    assert text.startswith(f'{BEST} fires where: " the" among the last 2 tokens ✓ finding E {claim.e:.2f} [')
    for part in (
        "ceiling 0.87",
        f"{claim.pairs} pairs, {claim.documents} documents",
        "heads account for 61 % [53, 68]",
    ):
        assert part in text
    assert "five take 44 % [39, 49], restore 18 %" in text and "twenty take 84 % [81, 87], restore 62 %" in text
    assert "all 171 take 100.0 % ✓, restore 100.0 %" in text and "80 % with 17 heads" in text


def test_all_heads_together_that_leave_a_rest_have_no_mark(session: Session) -> None:
    claim = session.state.context_claims[BEST, "rules"]
    everything = claim.joint[-1]
    short = msgspec.structs.replace(everything, taken=msgspec.structs.replace(everything.taken, value=0.97))
    session.state.context_claims[BEST, "rules"] = msgspec.structs.replace(claim, joint=[short])
    assert "all 171 take 97.0 %, restore 100.0 %" in page(session, "Claim", 78)


def test_the_table_of_heads_has_what_each_takes_and_restores(session: Session) -> None:
    text = page(session, "Claim", 78)
    for one in session.state.context_claims[BEST, "rules"].heads:
        line = next(line for line in text.splitlines() if line.startswith(f"{one.head} ") and "[" in line)
        assert percent_with_interval(one.taken) in line and percent_with_interval(one.restored) in line
        assert percent(one.attends) in line
    narrow = page(session, "Claim", 40)
    assert "restored" not in narrow and "taken" in narrow


def test_the_claim_about_the_head_says_where_it_holds_and_how_surely(session: Session) -> None:
    claim = session.state.head_claims[BEST, PASSES, "rules"]
    text = words("\n".join(page_lines(session, "Claim", 78)[head_line(session, 78, CAVE) :]))
    assert text.startswith(f'{PASSES} drives it where: " the" among the last 2 tokens ✓ finding')
    removes = f"removes {percent(claim.effect_holds)} where it holds, {percent(claim.effect_elsewhere)} elsewhere"
    assert f"{removes} Δ {points_with_interval(claim.contrast)}" in text
    assert f"Δ by resample {points_with_interval(claim.contrast_resample)}" in text
    assert f"Δ within a last token {points_with_interval(claim.within_token)}" in text
    assert "active by its attribution Spearman with its effect 0.93" in text and "ceiling 0.93" in text
    assert "rewriting: activation −90 % [−95, −85] placebo −48 % [−58, −38]" in text


def test_a_candidate_says_what_speaks_against_it(session: Session) -> None:
    rows = conclusions(session.state).candidates
    for row in [row for row in rows if row.neuron == str(BEST)]:
        session.select_head(HeadId.parse(row.head))
        text = words(page(session, "Claim", 78))
        assert f"· candidate: {', '.join(row.reasons)}" in text


def test_a_suppressing_head_a_last_token_claim_and_one_that_raises_p_are_told(claimed: Path) -> None:
    session = claimed_session(claimed, SUPPRESSED)
    session.select_head(HeadId(12, 8))
    text = words(page(session, "Claim", 78))
    assert "L12.H8 holds it back where" in text and "holds back 2" in text and "by insertion" in text
    session.select_head(HeadId(4, 4))
    assert "· last token: contrast not surely above 0 among places with the same last token" in words(
        page(session, "Claim", 78)
    )
    assert "tag last token" in words(page(session, "Claim", 78))
    session.select_neuron(RAISED)
    session.select_head(HeadId(2, 6))
    assert "ablating it raises p(t): Δ log p +0.12" in words(page(session, "Claim", 78))


def test_with_room_the_two_claims_stand_side_by_side(session: Session) -> None:
    [first] = [line for line in page_lines(session, "Claim", 116) if "fires where" in line]
    assert "drives it where" in first and head_line(session, BESIDE, CAVE) == 0
    assert head_line(session, BESIDE - 1, CAVE) > 10


def test_a_neuron_driven_by_its_last_token_says_so_and_shows_the_tokens(claimed: Path) -> None:
    session = claimed_session(claimed, BY_TOKEN)
    text = words(page(session, "Claim", 78))
    assert f"{BY_TOKEN} is driven by its last token: heads account for −21 % [−29, −14]" in text
    assert "strongest last tokens ·more 2.50 ·\\x1b[31mless 1.75" in text and "R² of the last token alone 0.64" in text
    assert "its heads are not explained" in text
    session.state.attributed[BY_TOKEN] = msgspec.structs.replace(session.state.attributed[BEST], neuron=BY_TOKEN)
    session.select_head(HeadId(3, 3))
    assert f"The heads of {BY_TOKEN} are not explained: it is driven by its last token." in words(
        page(session, "Explanation", 78)
    )


def test_heads_without_a_claim_say_why(session: Session) -> None:
    session.select_head(HeadId(8, 8))
    assert "L8.H8 is not among the 3 heads chosen by effect" in words(page(session, "Claim", 78))
    event = session.state.claim_heads[BEST]
    rare = msgspec.structs.replace(event.heads[0], head=HeadId(8, 8), not_explained="always active")
    session.state.claim_heads[BEST] = msgspec.structs.replace(event, heads=[*event.heads, rare])
    assert "L8.H8 is not explained: always active" in words(page(session, "Claim", 78))
    del session.state.claim_heads[BEST]
    del session.state.head_claims[BEST, PASSES, "rules"]
    session.select_head(PASSES)
    assert "Which heads claims are about is not decided yet." in page(session, "Claim", 78)


def test_while_claims_are_not_tested_yet_it_says_what_runs(session: Session) -> None:
    state = session.state
    state.context_claims.clear()
    state.head_claims.clear()
    del state.done["claims", None]
    state.running["heads", None] = None
    session.claims = None
    text = words(page(session, "Claim", 78))
    assert "Claims are not tested yet; now running: heads." in text and "heads account for 61 %" in text
    assert f"The claim about {PASSES} is not tested yet." in text


def test_the_verdict_of_the_study_stands_below(session: Session) -> None:
    assert words(conclusions(session.state).verdict.sentence) in words(page(session, "Claim", 78))
    session.state.finished = None
    assert "The study" not in page(session, "Claim", 78)


def test_older_studies_and_the_paper_preset_say_what_they_lack(kept_folder: Path) -> None:
    session = claimed_session(kept_folder, AN)
    assert words(BEFORE_CLAIMS) in words(page(session, "Claim", 78))
    assert session.state.settings is not None
    session.state.settings = msgspec.structs.replace(session.state.settings, preset="paper")
    session.claims = None
    assert words(PAPER) in words(page(session, "Claim", 78))


async def test_a_study_with_claims_begins_on_this_tab_and_an_older_one_on_its_explanations(
    session: Session, kept_folder: Path
) -> None:
    async with on_stage(DetailPane(), session) as (app, _):
        assert app.pane.tab == "Claim"
    async with on_stage(DetailPane(), claimed_session(kept_folder, AN)) as (app, pilot):
        assert app.pane.tab == "Explanation"
        await pilot.press("h")
        app.pane.show(app.session)
        assert app.pane.tab == "Claim", "the user's choice stays"


@pytest.mark.parametrize("size", [*SIZES, (38, 24), (38, 6)])
async def test_it_fits_every_size(session: Session, size: tuple[int, int]) -> None:
    async with on_stage(DetailPane(), session, size) as (app, pilot):
        lines = shown(app).splitlines()
        assert {cell_len(line) for line in lines} == {size[0]} and len(lines) == size[1]
        await pilot.press("G")
        shown(app)


async def test_a_chosen_head_is_scrolled_to_where_it_stands_below(session: Session) -> None:
    async with on_stage(DetailPane(), session, (80, 12)) as (app, pilot):
        assert "fires where" in shown(app) and "drives it" not in shown(app)
        app.pane.show_head()
        await pilot.pause()
        assert f"{PASSES} drives it where" in shown(app).splitlines()[3 if "Claim" in shown(app).splitlines()[1] else 2]
    async with on_stage(DetailPane(), session, (130, 12)) as (app, pilot):
        app.pane.show_head()
        await pilot.pause()
        assert "fires where" in shown(app) and "drives it" in shown(app)


@pytest.mark.parametrize("width", [36, 76, 116])
def test_whatever_is_missing_there_is_a_sentence(session: Session, width: int) -> None:
    for neuron in (BEST, RAISED, BY_TOKEN, NOT_VALID, SUPPRESSED, RANDOM):
        session.select_neuron(neuron)
        for head in (*HEADS_OF.get(neuron, ()), HeadId(0, 0), HeadId(23, 8), None):
            session.selection.head = head
            text = page(session, "Claim", width)
            assert text and "None" not in text and "nan" not in text
    session.state.context_share.clear()
    session.state.scores.clear()
    session.state.explanations.clear()
    session.claims = None
    session.select_neuron(BEST)
    assert "not scored" in page(session, "Claim", width)


@pytest.mark.parametrize("width", [40, 76, 130])
async def test_hostile_text_is_inert(claimed: Path, width: int) -> None:
    session = claimed_session(claimed, NOT_VALID)
    async with on_stage(DetailPane(), session, (width, 50)) as (app, _):
        assert "<script>" in shown(app)
        assert not set(app.pane.copy_text()) & set("\x1b\x07\x00\r\t\u202e\u2066")


# rewritten texts

TEXT = RewrittenText(
    document=1,
    position=2,
    tokens=["a", " sum", " of", " the", " money", " spent"],
    edited=[EditedToken(3, " any")],
    placebo=[EditedToken(1, " part")],
    activation=2.5,
    edited_activation=0.25,
    placebo_activation=2.0,
)


def test_edits_stand_in_quotes_and_all_lines_end_at_the_token() -> None:
    lines = [line.plain for line in rewritten_lines(TEXT, "replace", 60, CAVE)]
    assert [line.split()[:2] for line in lines] == [["text", "2.50"], ["edited", "0.25"], ["placebo", "2.00"]]
    assert lines[0].endswith("a sum of the money spent")
    assert lines[1].endswith("a sum of «any» money spent") and lines[2].endswith("a «part» of the money spent")
    assert len({cell_len(line) for line in lines}) == 1


def test_an_inserted_token_stands_before_the_one_that_stays() -> None:
    assert rewritten_lines(TEXT, "insert", 60, CAVE)[1].plain.endswith("a sum of «any» the money spent")


def test_what_is_replaced_and_the_firing_token_are_underlined_not_only_coloured() -> None:
    def underlined(line) -> str:
        return "".join(line.plain[span.start : span.end] for span in line.spans if span.style.underline)

    text, edited, placebo = rewritten_lines(TEXT, "replace", 60, CAVE)
    assert underlined(text) == " the spent" and underlined(edited) == " «any» spent"
    assert underlined(placebo) == " «part» spent"


def test_an_edit_far_before_the_token_is_seen_all_the_same() -> None:
    long = msgspec.structs.replace(TEXT, tokens=[*TEXT.tokens[:4], *[" word"] * 40], placebo_activation=None)
    lines = [line.plain for line in rewritten_lines(long, "replace", 50, CAVE)]
    assert len(lines) == 2 and "«any»" in lines[1] and lines[1].endswith("…") and " the" in lines[0]
    assert {cell_len(line) for line in lines} == {50}
