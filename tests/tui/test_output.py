"""Tables fit a terminal without breaking numbers, and are one line a row elsewhere."""

from __future__ import annotations

import json
import re
import sys

import pytest

from headtorch.tui.cli.output import cell, print_json, print_note, print_table

COLUMNS = [("neuron", "left"), ("activation", "right"), ("kind", "left"), ("prompt", "text")]
ROWS = [("L3.N1467", 1.5, "suppression", "of the United States " * 12), ("L0.N1", -0.25, "ordinary", "short")]


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_only_text_wraps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(COLUMNS, ROWS, title="a title " * 20)
    lines = lines_of(capsys)
    assert max(map(len, lines)) <= width
    [heading] = [line for line in lines if line.startswith("neuron")]
    assert heading.split() == ["neuron", "activation", "kind", "prompt"]
    [first] = [line for line in lines if line.startswith("L3.N1467")]
    assert first.split()[1:3] == ["1.500", "suppression"]
    print_note("a long remark " * 30)
    assert max(map(len, lines_of(capsys))) <= width


def test_in_a_pipe_every_row_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert out.count("\n") == 3 and "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_cells() -> None:
    assert [cell(value) for value in (None, True, 0.0, 1.23456, 0.000123, "a\x1b")] == [
        "·",
        "yes",
        "0.000",
        "1.235",
        "1.2e-04",
        "a\\x1b",
    ]


def test_json_on_standard_output_is_inert_and_the_same_data(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x9b31m\x7f\u202egnp\u200b\U000e0041\ue000 naïve 漢字"
    print_json({"text": text})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": text}
    assert re.sub("naïve 漢字", "", out).isascii() and "\x7f" not in out
