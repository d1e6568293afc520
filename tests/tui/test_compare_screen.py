"""Studies side by side in the terminal: what the command line says, by keys, and no study can spoil the screen."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from sample_records import AN, AS, HOSTILE, LOOKUP, RANDOM_1
from sample_study import sample_settings
from stage import Stage, in_terminal, lines_of, text_of
from textual.pilot import Pilot
from two_studies import study_in, two_studies
from waiting import until

from headtorch.core.study.side_by_side import compare_studies, open_studies
from headtorch.core.study.study import Study
from headtorch.tui.cli.output import plain
from headtorch.tui.comparing.wanted import OpenAt
from headtorch.tui.panes.figures import fixed
from headtorch.tui.screens.compare import CompareScreen
from headtorch.tui.screens.compare_with import CompareWithScreen

SIZES = [(80, 24), (120, 36), (200, 50)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADTORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    return two_studies(tmp_path)


async def loaded(app: Stage, pilot: Pilot[None]) -> CompareScreen:
    screen = app.first
    assert isinstance(screen, CompareScreen)
    await until(pilot, lambda: screen.pair is not None)
    return screen


@asynccontextmanager
async def comparing(
    studies: list[str], size: tuple[int, int] = (120, 36), page: str = "1"
) -> AsyncIterator[tuple[Stage, Pilot[None]]]:
    """The screen over these studies, read to the end, at the page of that key."""
    app = Stage(CompareScreen(studies))
    async with app.run_test(size=size) as pilot:
        await loaded(app, pilot)
        await pilot.press(page)
        await pilot.pause()
        yield app, pilot


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_every_page_stands_at_every_size_with_hostile_text(two: list[str], size: tuple[int, int]) -> None:
    async with comparing(two, size) as (app, pilot):
        said = {"1": "mean E", "2": "kind A" if size[0] > 80 else "E A", "3": "active A", "4": "ρ β"}
        for key, word in said.items():
            await pilot.press(key)
            await pilot.pause()
            text = text_of(app)
            assert word in text and all(len(line) <= size[0] for line in lines_of(app))
            if key == "1":
                assert "/news [bo" in text, "the name of the corpus"
            else:
                assert "A one · sotu" in text and str(AN) in text and "·an" in text
        await pilot.press("question_mark")


@in_terminal
async def test_the_scores_are_those_of_the_command_line(two: list[str]) -> None:
    found = compare_studies(open_studies(two))
    async with comparing(two, (160, 60)) as (app, _):
        lines = lines_of(app)
        for group in found.groups:
            letter = "AB"[[side.study for side in found.studies].index(group.study)]
            (line,) = [line for line in lines if f" {letter} rules" in line and f" {group.group} " in line]
            assert fixed(group.scores.mean, 3) in line and f" {group.scores.n_heads} " in line
        assert any("A − B" in line for line in lines)
        assert any(line.strip("│ ").startswith("corpus") and "sotu" in line for line in lines), "a setting that differs"


@in_terminal
async def test_neurons_stand_with_both_values_beside_each_other(two: list[str]) -> None:
    (pair,) = compare_studies(open_studies(two)).pairs
    async with comparing(two, page="2") as (app, _):
        lines = lines_of(app)
        assert len(pair.neurons) == 5
        for shared in pair.neurons:
            random = "~" if shared.neuron.index in (RANDOM_1.index, 1386) else ""
            (line,) = [line for line in lines if f" {random}{shared.neuron} " in line]
            for row in shared.rows:
                assert row is not None and fixed(row.median_e) in line and fixed(row.next_share) in line
            assert " 0.00 " in line or "+0.00" in line, "the same scores in both"


@in_terminal
async def test_heads_stand_under_their_neuron_with_the_difference_of_their_activity(two: list[str]) -> None:
    (pair,) = compare_studies(open_studies(two)).pairs
    async with comparing(two, (160, 50), page="3") as (app, _):
        lines = lines_of(app)
        first = pair.neurons[0]
        (at,) = [at for at, line in enumerate(lines) if f" {first.neuron} ·an" in line]
        assert f"ρ β {fixed(first.beta.spearman)} ({first.beta.n})" in lines[at]
        assert f"direct {fixed(first.mean_direct.spearman)} ({first.mean_direct.n})" in lines[at]
        for line, head in zip(lines[at + 1 :], first.heads, strict=False):
            share = head.activity.first
            assert str(head.head) in line and share is not None and f"{share:.0%}" in line
            assert f"{fixed(head.mean_direct[0], sign=True)}  {fixed(head.mean_direct[1], sign=True)}" in line
        assert first.mean_direct.spearman == -1.0 and "⊖" in text_of(app)


@in_terminal
async def test_consistency_says_whether_it_is_over_corpora_or_settings(two: list[str], tmp_path: Path) -> None:
    third = str(study_in(tmp_path / "three", msgspec.structs.replace(sample_settings(), context=512)))
    async with comparing([*two, third], page="4") as (app, pilot):
        text = text_of(app)
        assert "Two corpora" in text and "−1.00" in text and "pair 1 of 3" in text
        await pilot.press("p")
        await pilot.pause()
        assert "One corpus in both" in text_of(app) and "B (C) three" in text_of(app)
        await pilot.press("N", "N")
        await pilot.pause()
        assert "pair 3 of 3" in text_of(app) and "A (B) two" in text_of(app)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("enter",), (0, None, None)),
        (("j", "enter"), (1, None, None)),
        (("2", "enter"), (0, AN, None)),
        (("2", "l", "j", "enter"), (1, AS, None)),
        (("3", "l", "h", "j", "enter"), (0, AN, LOOKUP)),
        (("2", "j", "4", "l", "enter"), (1, AS, None)),
    ],
)
@in_terminal
async def test_enter_opens_the_study_looked_at_at_the_neuron_of_the_cursor(
    two: list[str], keys: tuple[str, ...], expected: tuple[int, object, object]
) -> None:
    async with comparing(two) as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        study, neuron, head = expected
        assert app.returned == [OpenAt(two[study], neuron, head)]  # type: ignore[arg-type]


@in_terminal
async def test_pages_go_round_and_keep_the_neuron(two: list[str]) -> None:
    app = Stage(CompareScreen(two))
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await loaded(app, pilot)
        await pilot.press("tab", "j", "j", "tab")
        await pilot.pause()
        shared = screen.pair.neurons[2] if screen.pair else None
        assert shared is not None and screen.page.target is not None and screen.page.target.neuron == shared.neuron
        await pilot.press("tab", "tab", "shift+tab", "shift+tab", "shift+tab")
        await pilot.pause()
        assert screen.page.title == "Neurons" and screen.page.target.neuron == shared.neuron


@in_terminal
async def test_a_damaged_study_is_one_sentence_and_escape_leads_back(two: list[str]) -> None:
    (Path(two[1]) / "study.json").write_text("{")
    app = Stage(CompareScreen(two))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✗" in "".join(lines_of(app)))
        text = " ".join(text_of(app).split())
        assert "is damaged" in text and "Traceback" not in text
        await pilot.press("2", "x", "y", "enter", "p", "l", "escape")
        await pilot.pause()
        assert app.returned == [None]


@in_terminal
async def test_a_study_that_is_not_there_is_one_sentence(two: list[str], tmp_path: Path) -> None:
    app = Stage(CompareScreen([two[0], str(tmp_path / "nowhere")]))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "There is no study in" in "".join(lines_of(app)))


@in_terminal
async def test_reading_goes_on_behind_the_screen_says_how_far_and_stops(
    two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, opened = threading.Event(), []

    def slow(where: str, write: bool = False) -> Study:
        opened.append(where)
        go_on.wait(10)
        return real(where)

    real = Study.open
    monkeypatch.setattr(Study, "open", slow)
    app = Stage(CompareScreen(two))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Reading one …  1 of 2" in text_of(app))
        assert "esc stops" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.returned == [None]
        go_on.set()
        await asyncio.sleep(0.1)
        assert opened == [two[0]], "the second is not read any more"


@in_terminal
async def test_a_line_is_copied(two: list[str]) -> None:
    async with comparing(two) as (app, pilot):
        await pilot.press("2", "y")
        await pilot.pause()
        assert app.clipboard.startswith(str(AN)) and "·an" in app.clipboard


@in_terminal
async def test_the_comparison_is_written_as_the_command_line_prints_it(two: list[str], home: Path) -> None:
    async with comparing(two) as (app, pilot):
        await pilot.press("x")
        await pilot.pause()
        assert "Markdown: tables" in text_of(app)
        await pilot.press("enter")
        folder = home / "comparisons" / "one-and-two"
        await until(pilot, lambda: "2 files written" in text_of(app))
        found = compare_studies(open_studies(two))
        assert msgspec.json.decode((folder / "comparison.json").read_bytes()) == plain(found)
        markdown = (folder / "comparison.md").read_text()
        assert markdown.startswith("# one and two") and str(AN) in markdown and "\x1b" not in markdown


# what to compare with


@pytest.fixture
def others(home: Path) -> Iterator[list[str]]:
    """Three studies where studies live, one of them damaged."""
    made = [str(study_in(home / "studies" / name)) for name in ("a", "b", "c")]
    (Path(made[2]) / "study.json").write_text("{")
    yield made


@pytest.mark.parametrize("size", SIZES)
@in_terminal
async def test_other_studies_are_marked_and_compared_with_the_open_one(
    others: list[str], size: tuple[int, int]
) -> None:
    app = Stage(CompareWithScreen(others[0], []))
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "✗" in text_of(app))
        text = text_of(app)
        assert " a " not in text and " b " in text
        rows = {"b": 0, "c": 1} if text.index(" b ") < text.index(" c ") else {"b": 1, "c": 0}
        await pilot.press("g", *"j" * rows["c"], "space")
        await pilot.pause()
        assert any("damaged" in note.message for note in app._notifications) and app.returned == []
        await pilot.press("g", *"j" * rows["b"], "space", "g", *"j" * rows["c"], "enter")
        await pilot.pause()
        assert app.returned == [[others[0], others[1]]]


@in_terminal
async def test_without_a_mark_the_study_of_the_cursor_is_taken(others: list[str]) -> None:
    app = Stage(CompareWithScreen(others[0], []))
    async with app.run_test() as pilot:
        await until(pilot, lambda: "✗" in text_of(app))
        await pilot.press(*"jc"[text_of(app).index(" b ") < text_of(app).index(" c ") :])
        await pilot.pause()
        assert app.returned == [[others[0], others[1]]]


@in_terminal
async def test_those_compared_before_are_marked_again(others: list[str]) -> None:
    app = Stage(CompareWithScreen(others[1], [others[0], others[1]]))
    async with app.run_test() as pilot:
        await until(pilot, lambda: "●" in text_of(app))
        await pilot.press("enter")
        await pilot.pause()
        assert app.returned == [[others[1], others[0]]]


def test_hostile_names_are_what_the_tests_think(two: list[str]) -> None:
    assert "\x1b" in Study.open(two[1]).settings.corpus and "\x1b" in HOSTILE


def test_nothing_heavy_is_loaded_before_the_thread_loads_it() -> None:
    script = (
        "import sys; import headtorch.tui.screens.workbench, headtorch.tui.screens.compare\n"
        "assert not {'torch', 'scipy', 'jinja2', 'pyarrow'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]
