"""The grid of heads: what it shows, what it says about the head of its cursor, and what where numbers are missing."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from pane_stage import on_stage, shown
from sample_answers import sample_roles
from sample_records import AN, DAMPING, HEADS, LAYERS, LOOKUP, PREVIOUS, STATES, sample_arrays, sample_facts
from sample_study import sample_session
from screens import drawn

from headtorch.core.events import HeadsAttributed
from headtorch.core.records import HeadId, HeadSummary
from headtorch.tui.palette import CAVE
from headtorch.tui.panes.head_cells import strength
from headtorch.tui.panes.head_parts import parts_in_words
from headtorch.tui.panes.heads import HeadsPane
from headtorch.tui.session import Session

pytestmark = pytest.mark.anyio


@pytest.fixture
def session(session: Session) -> Session:
    session.roles = sample_roles()
    return session


# what stands there


async def test_the_last_layer_is_at_the_top_and_the_heads_numbers_above(session: Session) -> None:
    pane = HeadsPane()
    async with on_stage(pane, session, (38, 20)) as (app, _):
        lines = shown(app).splitlines()
        assert "3 Heads · mean direct" in lines[0]
        assert lines[1].strip("│ ").split() == [str(i) for i in range(HEADS)]
        assert [line.strip("│▸ ")[0] for line in lines[2:6]] == ["3", "2", "1", "0"]
        assert "heads" in lines[-1] and "% of Σ" in lines[-1]


async def test_a_wide_pane_has_the_numbers_in_the_cells(session: Session) -> None:
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, _):
        mean = sample_arrays(AN)["headline"][:, LOOKUP.layer, LOOKUP.index].mean()
        assert f"▌+{mean:.2f}▐" in shown(app)


async def test_without_colours_sign_and_strength_are_characters(session: Session) -> None:
    session.selection.head = HeadId(3, 0)
    async with on_stage(HeadsPane(), session, (38, 20)) as (app, _):
        row = shown(app).splitlines()[3]
        assert row.split()[6] == "−1" and row.split()[9] == "+4"  # L2.H4 lowers a little, L2.H7 is the strongest
        assert "−4 … −1 · +1 … +4" in shown(app)
    assert [strength(share) for share in (-1.0, -0.3, 0.1, 0.3, 0.6, 1.0)] == ["−4", "−2", "+1", "+2", "+3", "+4"]
    assert [strength(share, 1) for share in (-1.0, -0.3, 0.1, 1.0)] == ["d", "b", "1", "4"]


async def test_with_colours_cells_take_the_steps_of_the_diverging_scale(session: Session) -> None:
    session.selection.head = HeadId(3, 0)
    async with on_stage(HeadsPane(), session, (80, 24), colours=True) as (app, _):
        values = sample_arrays(AN)["headline"].mean(axis=0)
        strongest, lowering = values[LOOKUP.layer, LOOKUP.index], values[DAMPING.layer, DAMPING.index]
        [segment] = drawn(app, f"+{strongest:.2f}")[:1]
        assert segment.style.bgcolor.name == CAVE.diverging[-1]
        [segment] = drawn(app, f"−{-lowering:.2f}")[:1]
        assert segment.style.bgcolor.name == CAVE.signed_heat(lowering / strongest).bgcolor.name != CAVE.diverging[-1]


async def test_the_cursors_cell_row_and_column_are_bright(session: Session) -> None:
    async with on_stage(HeadsPane(), session, (38, 20), colours=True) as (app, _):
        for text in ("▌ ▐", "▸2 ", "7"):
            style = drawn(app, text)[0].style
            assert style.bold and style.color.name == CAVE.bright
        assert drawn(app, "6")[0].style.color.name == CAVE.quiet


async def test_heads_with_something_to_explain_are_underlined(session: Session) -> None:
    async with on_stage(HeadsPane(), session, (80, 24), colours=True) as (app, _):
        mean = sample_arrays(AN)["headline"][:, PREVIOUS.layer, PREVIOUS.index].mean()
        assert drawn(app, f"+{mean:.2f}")[0].style.underline
        session.state.activity[AN] = msgspec.structs.replace(session.state.activity[AN], heads=[])
        app.pane.show(session)
        await _settled(app)
        assert not drawn(app, f"+{mean:.2f}")[0].style.underline


async def test_the_facts_below_the_grid_are_those_of_the_cursors_head(session: Session) -> None:
    arrays = sample_arrays(AN)
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, pilot):
        mean, whole = arrays["headline"][:, 2, 7].mean(), arrays["pre_activation"].mean()
        share = mean / np.nansum(arrays["headline"].mean(axis=0))
        text = shown(app)
        assert f"L2.H7 +{mean:.2f} of {whole:.2f} · {100 * share:.0f} % of heads · β 0.31" in text
        assert "at random +0.05 ± 0.20" in text and "role" not in text
        await pilot.press("down", *["left"] * 5)
        assert "L1.H2 " in shown(app) and "role: previous-token 0.92" in shown(app)


async def test_a_weak_agreement_with_a_known_pattern_is_no_role(session: Session) -> None:
    roles = sample_roles()
    roles.previous_token[2][7], roles.induction[2][7] = 0.39, 0.4
    session.roles = roles
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, _):
        assert "role: induction 0.40" in shown(app) and "previous" not in shown(app)


async def test_a_head_that_cannot_feed_the_neuron_says_why(session: Session) -> None:
    session.select_neuron(STATES)
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, pilot):
        assert shown(app).splitlines()[2].count("×") == HEADS
        await pilot.press("g")
        assert app.pane.cursor.layer == 3 and not app.told[-1].feeds
        assert f"{app.pane.cursor} cannot feed L2.N364: it comes after it." in shown(app)


async def test_in_parallel_blocks_the_neurons_own_layer_cannot_feed_it(session: Session) -> None:
    session.state.model = msgspec.structs.replace(sample_facts(), parallel=True)
    session.selection.head = HeadId(3, 1)
    async with on_stage(HeadsPane(), session, (120, 24)) as (app, _):
        assert "L3.H1 cannot feed L3.N892: attention and MLP of a layer run side by side in this model." in shown(app)


async def test_one_prompt_shows_that_prompts_numbers(session: Session) -> None:
    session.selection.one_prompt, session.selection.prompt = True, 2
    arrays = sample_arrays(AN)
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, _):
        text = shown(app)
        assert "3 Heads · prompt 3, direct" in text
        assert f"{arrays['headline'][2, 2, 7]:+.2f} of {arrays['pre_activation'][2, 0]:.2f}" in text
        session.selection.prompt = 0
        app.pane.show(session)
        await _settled(app)
        assert f"{arrays['headline'][0, 2, 7]:+.2f} of {arrays['pre_activation'][0, 0]:.2f}" in shown(app)


async def test_the_number_of_a_gated_neuron_is_the_removal_effect(session: Session, monkeypatch) -> None:
    arrays = sample_arrays(AN)
    two = {name: np.concatenate([arrays[name]] * 2, axis=1) for name in ("heads", "dot", "mlps", "attention_bias")}
    two |= {name: np.concatenate([arrays[name]] * 2, axis=1) for name in ("embed", "position", "bias")}
    two |= {"pre_activation": np.concatenate([arrays["pre_activation"]] * 2, axis=1)}
    monkeypatch.setattr(session, "arrays", lambda: arrays | two)
    session.state.model = msgspec.structs.replace(sample_facts(), gated=True)
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, _):
        text = shown(app)
        assert "mean removal" in text and f"of {arrays['activation'].mean():.2f}" in text
        assert "gate: heads" in text and "up: heads" in text and "other parts" not in text


def test_the_parts_in_words_are_shares_of_the_sum_of_all_parts() -> None:
    ones = np.ones((2, 1))
    arrays = {
        "heads": np.array([[[[3.0, np.nan]]], [[[5.0, np.nan]]]]),  # 8 over two prompts
        "embed": ones,
        "position": ones * 0,
        "attention_bias": np.zeros((2, 1, 3)),
        "mlps": np.full((2, 1, 2), 0.25),
        "bias": -ones * 0.5,
        "pre_activation": np.array([[4.0], [6.0]]),
    }
    assert parts_in_words(arrays, None) == ["heads 80 % of Σ", "other parts 20 %", "error 0"]
    assert parts_in_words(arrays, 0) == ["heads 75 % of Σ", "other parts 25 %", "error 0"]
    assert parts_in_words(arrays | {"pre_activation": np.array([[4.0], [5.5]])}, None)[-1] == "error 0.071"  # 0.5 of 7
    assert parts_in_words({"heads": arrays["heads"]}, None) == [] == parts_in_words(arrays, 2)


# what is missing


async def test_without_a_neuron_or_its_heads_a_sentence_stands_there() -> None:
    async with on_stage(HeadsPane(), Session(sample_session().engine)) as (app, pilot):
        assert "No neuron is selected." in shown(app)
        await pilot.press(*"hjklsgGp", "enter", "ctrl+d", "ctrl+u")
        await pilot.click(HeadsPane, offset=(5, 4))
        assert [type(told) for told in app.told] == [HeadsPane.ScopeToggled] and app.pane.copy_text() == ""
        session = sample_session()
        del session.state.attributed[AN]
        app.pane.show(session)
        await _settled(app)
        assert "L3.N892: not attributed yet." in shown(app)


async def test_without_the_arrays_the_means_are_shown_all_the_same() -> None:
    session = sample_session()  # has no folder
    session.selection.one_prompt = True
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, _):
        text = shown(app)
        assert "mean direct" in text and "L2.H7 +2.08 · " in text and "Σ" not in text


async def test_numbers_that_are_missing_are_left_out() -> None:
    session = sample_session()
    session.state.attributed[AN] = HeadsAttributed(
        neuron=AN, artefact="x", heads=[HeadSummary(head=HeadId(1, 1), mean_direct=0.0)], top_heads=[], max_error=0.0
    )
    session.selection.head = HeadId(1, 1)
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, pilot):
        assert re.search(r"L1.H1 0 +│", shown(app))
        await pilot.press("l")
        assert "L1.H2 –" in shown(app) and "?" in shown(app)


async def test_a_selected_head_that_the_model_does_not_have_shows_nothing_of_it(session: Session) -> None:
    session.selection.head = HeadId(40, 99)
    async with on_stage(HeadsPane(), session) as (app, pilot):
        assert "40" not in shown(app)
        await pilot.press("h")
        assert app.pane.cursor == HeadId(LAYERS - 1, HEADS - 1)


async def test_a_study_by_the_papers_score_says_so(session: Session) -> None:
    session.state.settings = msgspec.structs.replace(session.state.settings, attribution="dot", activity="paper")
    async with on_stage(HeadsPane(), session, (80, 24)) as (app, _):
        assert "mean ⟨o, w⟩" in shown(app) and " of 4." not in shown(app)


async def test_the_copied_line_has_the_heads_numbers(session: Session) -> None:
    async with on_stage(HeadsPane(), session) as (app, _):
        assert app.pane.copy_text().startswith("L3.N892: L2.H7 +2.0")
        assert app.pane.copy_text().endswith("(direct attribution, mean of 12 prompts)")


def test_the_help_explains_every_mark_and_abbreviation() -> None:
    for word in ("A(h)", "σ", "β", "Σ", "×", "·", "±", "error", "role", "removal", "⟨o, w⟩", "underlined", "at random"):
        assert word in HeadsPane.help


async def _settled(app: object) -> None:
    from textual.pilot import Pilot

    await Pilot(app).pause()  # type: ignore[arg-type]
