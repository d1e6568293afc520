"""CSV: no cell is live in a spreadsheet, whatever separator it splits at."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headtorch.core.records import Record
from headtorch.core.study.report.tables import to_csv
from headtorch.core.text import visible

SIGNS = [chr(code) for code in range(0x110000) if unicodedata.normalize("NFKC", chr(code))[:1] in {"=", "+", "-", "@"}]


class TextRow(Record, frozen=True, kw_only=True):
    first: str
    second: str


def live_cells(table: str, separator: str) -> list[str]:
    """The cells that a spreadsheet would run, by the standard library's reader."""
    cells = (cell for row in csv.reader(io.StringIO(table), delimiter=separator) for cell in row)
    return [
        cell
        for cell in cells
        if unicodedata.normalize("NFKC", cell.strip(" \"'\u00a0"))[:1] in {*"=+-@"}
        and not cell.strip(' "\u00a0').startswith("'")
    ]


@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize("sign", SIGNS, ids=[f"U+{ord(sign):04X}" for sign in SIGNS])
def test_no_formula_is_live_behind_any_separator(separator: str, sign: str) -> None:
    for text in (f"{sign}1+1", f"a{separator}{sign}cmd|' /C calc'!A0", f'a{separator} "{sign}1",{separator}{sign}2'):
        assert live_cells(to_csv(TextRow, [TextRow(first=text, second=text)]), separator) == [], text


@settings(max_examples=500, deadline=None)
@given(st.lists(st.text("=+-@＝＠;,|\"' \t\n\u00a0a"), min_size=2, max_size=2), st.sampled_from(",;|"))
def test_no_random_text_is_live(texts: list[str], separator: str) -> None:
    table = to_csv(TextRow, [TextRow(first=texts[0], second=texts[1])])
    assert live_cells(table, separator) == []
    read = list(csv.DictReader(io.StringIO(table)))
    assert [len(read), *read[0]] == [1, "first", "second"]
    assert read[0]["first"].replace("'", "") == visible(texts[0]).replace("'", ""), "only guards are added"
