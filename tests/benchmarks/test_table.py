"""The table of the benchmarks says what was claimed, what was found, and what could not be looked at."""

from __future__ import annotations

import pytest

from benchmarks.table import Row, as_json, as_markdown, from_json, not_measured, show, within

FAST = Row("scan", "900 tok/s", "bare 1000 tok/s", 0.9, 0.9)
SLOW = Row("effects", "1 s", "15 s", 15.0, 20.0, note="demo model")


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (FAST, "met"),
        (SLOW, "not met"),
        (within("first frame", 0.5, 0.5), "met"),
        (within("first frame", 0.51, 0.5), "not met"),
        (Row("a figure without a budget", "3 s", "", None, None), ""),
        (not_measured("scan on a GPU", 0.85), "not measured"),
        (Row("bare", "5 tok/s", "", 1.0, None), ""),
    ],
)
def test_the_verdict_follows_from_ratio_and_target(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


def test_json_brings_the_rows_back() -> None:
    found = {"scan": [FAST, not_measured("scan on a GPU", 0.85)], "effects": [SLOW]}
    assert from_json(as_json(found)) == found


def test_markdown_has_a_line_for_each_row_with_its_note_and_target() -> None:
    lines = as_markdown({"scan": [FAST], "effects": [SLOW]}).splitlines()
    assert lines[2:] == [
        "| scan | 900 tok/s | bare 1000 tok/s | 0.90 | ≥ 0.90 | met |",
        "| effects (demo model) | 1 s | 15 s | 15.0 | ≥ 20.0 | not met |",
    ]


def test_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show({"scan": [Row("[bold]scan", "1", "2", 0.5, 0.9, note="[/]")]})
    shown = capsys.readouterr().out
    assert "[bold]scan" in shown
    assert "[/]" in shown
    assert "not met" in shown
