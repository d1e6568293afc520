"""headtorch compare: tables, JSON, Markdown, or the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import Call, data, refusal
from sample_records import AN
from two_studies import two_studies


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    return two_studies(tmp_path)


def test_tables_name_the_studies_and_what_they_share(cli: Call, two: list[str]) -> None:
    left = cli("compare", *two)
    assert (left.code, left.err) == (0, "") and "\x1b" not in left.out
    assert "Settings that differ" in left.out and "different corpora" in left.out and "ρ of effect" in left.out
    assert any(line.startswith(str(AN)) and "-1.000" in line for line in left.out.splitlines())


def test_json_has_the_rows_of_both(cli: Call, two: list[str]) -> None:
    found = data(cli("compare", *two, "--json"))
    shared = found["pairs"][0]["neurons"][0]
    assert shared["neuron"] == str(AN) and [row["kind"] for row in shared["rows"]] == ["prediction", "prediction"]
    assert shared["effect"] == {"n": 0, "spearman": None}, "nothing was measured"


def test_markdown_has_tables(cli: Call, two: list[str]) -> None:
    out = cli("compare", *two, "--markdown").out
    assert out.startswith("# one and two\n") and "| neuron | token | kind |" in out and "\x1b" not in out
    assert all(line.count("|") == out.splitlines()[2].count("|") for line in out.splitlines()[2:5])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--json", "--markdown"), "choose one"),
        (("--tui", "--json"), "choose one"),
        (("--tui",), "needs a terminal"),
    ],
)
def test_ways_to_show_it_that_cannot_be(cli: Call, two: list[str], more: tuple[str, ...], said: str) -> None:
    assert said in refusal(cli("compare", *two, *more))


def test_one_study_or_the_same_twice_is_refused(cli: Call, two: list[str], tmp_path: Path) -> None:
    for names in (two[:1], [two[0], two[0]]):
        assert "two or more studies" in refusal(cli("compare", *names))
    assert "There is no study" in refusal(cli("compare", two[0], tmp_path / "nowhere"))
