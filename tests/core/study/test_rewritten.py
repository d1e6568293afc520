"""Edits of a text stand where they were made, and nothing in them acts."""

from __future__ import annotations

import pytest

from headtorch.core.claims import EditedToken, RewrittenText
from headtorch.core.study.rewritten import EditRun, edit_runs, marked_edits, shortened

TOKENS = [" people", " and", " in", " the", " end"]


@pytest.mark.parametrize(
    ("kind", "edits", "line"),
    [
        ("replace", [EditedToken(3, " any")], " people and in ‹the → any› end"),
        ("insert", [EditedToken(3, " any")], " people and in ‹+ any› the end"),
        ("replace", [EditedToken(0, " \x1b[0m"), EditedToken(1, "\n")], " ‹people → \\x1b[0m› ‹and → ⏎› in the end"),
        ("replace", [EditedToken(3, " ")], " people and in ‹the → ∅› end"),
        ("replace", [], " people and in the end"),
    ],
)
def test_a_line_shows_what_stands_where_what_stood(kind: str, edits: list[EditedToken], line: str) -> None:
    assert marked_edits(edit_runs(TOKENS, edits, kind)) == line  # type: ignore[arg-type]


def test_the_beginning_is_left_out_but_never_an_edit() -> None:
    long = [f" w{i}" for i in range(100)]
    near, far = (edit_runs(long, [EditedToken(index, " x")], "replace", most=10) for index in (95, 20))
    assert near[0] == EditRun(before="… w90 w91 w92 w93 w94", after="… w90 w91 w92 w93 w94")
    assert far[0].before == "… w16 w17 w18 w19" and far[1].is_edit


def test_a_shortened_text_keeps_its_edits_where_they_are() -> None:
    text = RewrittenText(
        document=1,
        position=99,
        tokens=[f" w{i}" for i in range(100)],
        edited=[EditedToken(95, " x")],
        placebo=[EditedToken(60, " y")],
        activation=1.0,
        edited_activation=0.0,
        placebo_activation=1.0,
    )
    short = shortened(text, 10)
    assert (short.tokens[0], len(short.tokens)) == (" w56", 44)
    assert [short.tokens[edit.index] for edit in [*short.edited, *short.placebo]] == [" w95", " w60"]
    assert shortened(short, 64) is short
