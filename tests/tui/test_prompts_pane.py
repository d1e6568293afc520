"""Pane 2: prompts aligned where the neuron fires, their shading, and what is said about the one under the cursor."""

from __future__ import annotations

import msgspec
import pytest
from pane_app import SIZES, PaneApp
from rich.cells import cell_len
from sample_answers import sample_shading
from sample_records import ALWAYS, AN, AS, DAMPING, HOSTILE, LOOKUP, LOWER, PREVIOUS, PROMPTS, sample_prompt
from sample_study import sample_session, sample_state
from screens import drawn, screen_lines
from stage import in_terminal, text_of

from headtorch.core.engine.protocol import Happened
from headtorch.core.events import BestPrompts, PromptsFound
from headtorch.tui.palette import CAVE
from headtorch.tui.panes.prompts import PromptsPane
from headtorch.tui.session import Session


def app_with(session: Session | None = None) -> PaneApp:
    return PaneApp(PromptsPane(), session or sample_session())


def line_with(app: PaneApp, text: str) -> str:
    return next(line for line in screen_lines(app) if text in line)


def live_session() -> Session:
    """The scan goes on: no prompts but the best so far."""
    state = sample_state()
    state.prompts.clear()
    state.activity.clear()
    session = sample_session(state)
    session.take(Happened(request=1, event=BestPrompts(neuron=AN, prompts=[sample_prompt(AN, i) for i in range(3)])))
    return session


@pytest.mark.parametrize("size", [(38, 24), *SIZES])
def test_at_every_size_all_is_said_and_nothing_overflows(size: tuple[int, int]) -> None:
    @in_terminal
    async def look() -> None:
        app = app_with()
        async with app.run_test(size=size):
            text = text_of(app)
            assert {cell_len(line) for line in screen_lines(app)} == {size[0]}
            assert "2 Prompts → ·an" in text and "shaded by activation · ● 8 ○ 4" in text
            first = line_with(app, "▸ 9.81 ●")
            assert " picked → ·an  0.71" in first
            assert "1790 A speech, no. 5019 · at 211" in text and "1/16 · 5 of 212 tok · train" in text
            assert len({line.rindex("→") for line in screen_lines(app)[2:14]}) == 1

    look()


@in_terminal
async def test_long_texts_are_cut_at_their_beginning_and_keys_shift_them() -> None:
    app = app_with()
    async with app.run_test(size=(48, 24)) as pilot:
        assert "officer, which is →" in line_with(app, " 7.22") and "…" in line_with(app, " 7.22")
        for _ in range(9):
            await pilot.press("h")
        assert "⊢of the Union" in line_with(app, " 7.22") and "… →" in line_with(app, " 7.22")
        assert "⊢it ends with this →" in line_with(app, " 6.11")  # short ones stay
        await pilot.press("l", "right", *["l"] * 9)
        assert "officer, which is →" in line_with(app, " 7.22")
        await pilot.press("left")
        assert "which is →" not in line_with(app, " 7.22")


@in_terminal
async def test_the_strongest_token_stands_out_without_colour() -> None:
    session = sample_session()
    session.selection.shading = "sources"
    app = app_with(session)
    async with app.run_test(size=(120, 36)):
        strong = drawn(app, " tree")[-1].style
        other = drawn(app, " apple")[-1].style
        assert strong.bold and strong.underline and not other.bold and not other.underline


@in_terminal
async def test_each_mode_has_its_own_scale_and_name() -> None:
    session = sample_session()
    session.take(sample_shading(head=DAMPING))
    app = app_with(session)

    def background(text: str) -> str:
        return drawn(app, text)[-1].style.bgcolor.name

    async with app.run_test(size=(120, 36)) as pilot:
        assert background(" picked") == CAVE.sequential[-1]  # the largest activation of all
        assert background(" half") == CAVE.sequential[int(7.59 / 9.81 * 8)]
        session.selection.shading = "sources"
        app.show()
        await pilot.pause()
        assert "shaded by L2.H7 · ● 8 ○ 4" in text_of(app)
        assert background(" tree") == CAVE.diverging[-1]
        assert background(" picked") in CAVE.diverging[4:6]
        session.selection.head = DAMPING
        app.show()
        await pilot.pause()
        assert "shaded by L2.H4 · ▼ 6 ▽ 6" in text_of(app)
        assert background(" tree") == CAVE.diverging[0]  # it lowers the neuron
        assert "▸ 9.81 ▼" in text_of(app) and " 9.07 ▽" in text_of(app)
        session.selection.shading = "attention"
        app.show()
        await pilot.pause()
        assert "attention of L2.H4" in text_of(app)
        assert background(" tree") == CAVE.sequential[-1]


@in_terminal
async def test_attention_to_the_first_token_does_not_darken_the_rest() -> None:
    session = sample_session()
    shading = session.shadings[AN, LOOKUP, False]
    rest = [[0.96] + [0.01] * (len(row) - 2) + [0.03] for row in shading.attention]
    session.take(msgspec.structs.replace(shading, attention=rest))
    session.selection.shading = "attention"
    app = app_with(session)
    async with app.run_test(size=(120, 36)):
        assert drawn(app, " picked")[-1].style.bgcolor.name == CAVE.sequential[-1]
        assert drawn(app, "⊢")[-1].style.bgcolor.name == CAVE.sequential[-1]


@in_terminal
async def test_without_shading_the_kept_tokens_are_shown_plain() -> None:
    session = sample_session()
    session.shadings.clear()
    app = app_with(session)
    async with app.run_test(size=(120, 36)):
        assert "the apple tree and picked → ·an" in text_of(app) and "not shaded yet" in text_of(app)
        assert drawn(app, " tree")[0].style.underline is not True
        assert "0.71" not in text_of(app)


@in_terminal
async def test_the_neurons_own_token_is_told_from_another_by_more_than_colour() -> None:
    app = app_with()
    async with app.run_test(size=(120, 36)):
        assert drawn(app, "picked → ·an")[-1].style.bold
        assert not drawn(app, "became → ·a ")[-1].style.bold
        assert "→ ⊣" in line_with(app, "it ends with this")


@in_terminal
async def test_a_head_without_activity_has_no_marks() -> None:
    session = sample_session()
    session.selection.head = PREVIOUS
    session.take(sample_shading(head=PREVIOUS))
    session.state.activity.clear()
    app = app_with(session)
    async with app.run_test(size=(120, 36)):
        assert "●" not in text_of(app) and "○" not in text_of(app) and " picked → ·an" in text_of(app)


@in_terminal
async def test_prompts_from_lower_bins_come_last_with_a_mark_and_their_labels() -> None:
    session = sample_session()
    session.selection.head = ALWAYS
    session.take(sample_shading(head=ALWAYS))
    app = app_with(session)
    async with app.run_test(size=(120, 36)) as pilot:
        lower = [line for line in screen_lines(app) if "↓" in line]
        assert len(lower) == LOWER and all("○" in line for line in lower)
        assert f"● {PROMPTS} ○ {LOWER}" in text_of(app)
        await pilot.press("G")
        assert app.pane.selected_prompt == sample_prompt(AN, LOWER - 1, lower=True)
        assert "bin 3" in text_of(app) and "16/16" in text_of(app)


@in_terminal
async def test_full_contexts_replace_the_kept_tokens() -> None:
    session = sample_session()
    session.selection.full = True
    app = app_with(session)
    async with app.run_test(size=(120, 36)) as pilot:
        assert "the apple tree" in text_of(app) and "full" in text_of(app)  # until the engine answers
        session.take(sample_shading(full=True))
        app.show()
        await pilot.pause()
        assert "Long before that,the apple tree" in text_of(app)
        assert app.pane.copy_text() == "Long before that,the apple tree and picked"


@in_terminal
async def test_keys_move_choose_and_wish() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "down", "k", "G", "g", "ctrl+d", "ctrl+u", "end", "home", "enter", "slash")
        assert app.moves()[:5] == [1, 2, 1, 15, 0] and app.moves()[-2:] == [15, 0]
        assert [type(message).__name__ for message in app.heard[-2:]] == ["Chosen", "SearchWanted"]
        await pilot.click(offset=(10, 4))
        assert app.pane.cursor == 2
        await pilot.click(offset=(10, 21))  # the footer
        assert app.pane.cursor == 2


@in_terminal
async def test_a_search_marks_matches_and_goes_round() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.set_search("E EA")  # any case, across tokens
        await pilot.pause()
        assert app.pane.cursor == 3 and "/E EA: 2" in text_of(app)
        assert drawn(app, " eagle")[-1].style.reverse and not drawn(app, " called")[-1].style.reverse
        app.pane.set_search("which")
        await pilot.press("N")
        assert app.pane.cursor == 7
        app.pane.set_search("and")
        places = []
        for _ in range(5):
            await pilot.press("N")
            places.append(app.pane.cursor)
        assert places == [11, 12, 0, 7, 11]
        app.pane.set_search("nowhere")
        await pilot.press("N")
        await pilot.pause()
        assert app.said() == ["Nothing matches nowhere."]
        app.pane.set_search("")
        app.heard.clear()
        await pilot.press("N")
        assert [type(message).__name__ for message in app.heard] == ["SearchWanted"]


@in_terminal
async def test_a_match_outside_the_view_is_shifted_into_it() -> None:
    session = sample_session()
    session.selection.full = True
    session.take(sample_shading(full=True))
    app = app_with(session)
    async with app.run_test(size=(48, 24)) as pilot:
        app.pane.set_search("Long")
        await pilot.pause()
        assert "Long" in line_with(app, "▸")


@in_terminal
async def test_while_the_scan_goes_on_the_best_so_far_are_shown_and_the_cursor_stays_on_its_prompt() -> None:
    session = live_session()
    app = app_with(session)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "so far" in text_of(app) and "1/3" in text_of(app)
        await pilot.press("j")
        session.select_prompt(1)
        app.show()
        app.heard.clear()
        better = msgspec.structs.replace(sample_prompt(AN, 0), document=1, activation=11.0)
        best = [better, *(sample_prompt(AN, i) for i in range(3))]
        session.take(Happened(request=1, event=BestPrompts(neuron=AN, prompts=best)))
        app.show()
        await pilot.pause()
        assert app.pane.selected_prompt == sample_prompt(AN, 1)
        assert app.moves() == [2]  # the session counts prompts; theirs is the third now
        session.select_prompt(2)
        session.take(
            Happened(
                request=1,
                event=PromptsFound(
                    neuron=AN, prompts=[sample_prompt(AN, i) for i in range(PROMPTS)], dropped_near_duplicates=0
                ),
            )
        )
        app.show()
        await pilot.pause()
        assert "so far" not in text_of(app) and app.pane.selected_prompt == sample_prompt(AN, 1)


@in_terminal
async def test_another_neuron_begins_at_its_first_prompt() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "j")
        app.session.select_neuron(AS)
        app.show()
        await pilot.pause()
        assert app.pane.cursor == 0 and "→ ·as" in text_of(app)
        assert app.pane.selected_prompt == sample_prompt(AS, 0)


@in_terminal
async def test_without_prompts_it_says_so() -> None:
    session = sample_session()
    session.state.prompts.clear()
    session.state.activity.clear()
    app = app_with(session)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "No prompts yet" in text_of(app)
        await pilot.press("j", "h", "l", "N", "enter", "G")
        app.pane.set_search("x")
        assert app.pane.copy_text() == "" and app.pane.selected_prompt is None
        session.selection.neuron = None
        app.show()
        await pilot.pause()
        assert "Select a neuron" in text_of(app)


@pytest.mark.parametrize("size", [(38, 12), (80, 24)])
def test_hostile_and_wide_text_neither_breaks_the_lines_nor_reaches_the_terminal(size: tuple[int, int]) -> None:
    @in_terminal
    async def look() -> None:
        session = sample_session()
        tokens = ["<|endoftext|>", HOSTILE, "漢", "字漢字漢字漢字漢字漢字漢字", "e\u0301", "\u0301", "", "👩‍👩‍👧", "\n"]
        prompt = msgspec.structs.replace(
            sample_prompt(AN, 0), tokens=tokens, start=204, title=HOSTILE * 3, next_token=HOSTILE
        )
        session.state.prompts[AN] = [prompt] * 3
        session.state.neurons[AN] = msgspec.structs.replace(session.state.neurons[AN], token=HOSTILE)
        shading = session.shadings[AN, LOOKUP, False]
        session.take(
            msgspec.structs.replace(
                shading,
                tokens=[tokens] * 3,
                activation=[[1.0] * len(tokens)] * 3,
                probability=[0.5] * 3,
            )
        )
        app = app_with(session)
        async with app.run_test(size=size) as pilot:
            for _ in range(40):
                text_of(app)
                assert {cell_len(line) for line in screen_lines(app)} == {size[0]}
                await pilot.press("h")
            app.pane.set_search(HOSTILE)
            await pilot.press("N")
            text_of(app)

    look()


@in_terminal
async def test_nothing_is_drawn_again_where_nothing_changed() -> None:
    app = app_with()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        rows: list[int] = []
        before = app.pane.render_line
        app.pane.render_line = lambda y: rows.append(y) or before(y)
        app.show()
        await pilot.pause()
        assert rows == []
        await pilot.press("j")
        assert set(rows) == {1, 2, 20, 21}  # two prompts and the two rows about the one reached


def test_the_help_explains_every_sign() -> None:
    for sign in ("●", "○", "▼", "▽", "↓", "→", "⊣", "⊢", "…", "P", "tok", "so far", "train", "held-out"):
        assert sign in PromptsPane.help
