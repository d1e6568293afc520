"""visible(): no character that acts or hides gets through."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headtorch.core.text import hidden_escaped, visible, visible_token

ANY_TEXT = st.text(st.characters(codec=None) | st.characters(categories=("Cc", "Cf", "Cs", "Co", "Zl", "Zp")))
ACTIVE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def actors(text: str) -> list[str]:
    return [character for character in text if unicodedata.category(character) in ACTIVE]


@settings(max_examples=500, deadline=None)
@given(ANY_TEXT)
def test_no_control_or_format_character_gets_through_and_twice_is_once(text: str) -> None:
    shown = visible(text)
    assert actors(shown) == []
    assert visible(shown) == shown
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_tokens_are_inert_too(text: str) -> None:
    shown = visible_token(text)
    assert actors(shown) == []
    assert shown
    assert not shown.startswith(" ") and not shown.endswith(" ")


def test_every_code_point_is_covered() -> None:
    for code in range(0x110000):
        shown = visible(chr(code))
        if unicodedata.category(chr(code)) in ACTIVE:
            assert shown != chr(code) and not actors(shown), hex(code)
        elif shown != chr(code):
            assert shown.startswith("\\"), hex(code)  # drawn as nothing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [/INST] \\n text", "plain [/INST] \\n text"),
        ("naïve 漢字 שלום 🙂", "naïve 漢字 שלום 🙂"),
        ("a\nb\tc\r", "a⏎b⇥c␍"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\ud800 \ue000 \u2028 \x85 \x7f", "\\ud800 \\ue000 \\u2028 \\x85 \\x7f"),
        ("tag\U000e0041 fill\u3164", "tag\\U000e0041 fill\\u3164"),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_selectors_are_written_out() -> None:
    for code in [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]:
        assert chr(code) not in visible(f"a{chr(code)}b"), hex(code)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.characters(categories=("Mn", "Me", "Mc")), min_size=9, max_size=60), st.text(max_size=3))
def test_long_runs_of_combining_marks_are_cut(marks: list[str], before: str) -> None:
    shown = visible(f"{before}a{''.join(marks)}b")
    runs = "".join("M" if unicodedata.category(character)[0] == "M" else " " for character in shown).split()
    assert max(map(len, runs), default=0) <= 8
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["Tiếng Việt", "שָׁלוֹם", "ที่นี่", "བསྒྲུབས", "हिन्दी", "e" + "\u0301" * 8])
def test_the_marks_of_scripts_stay(text: str) -> None:
    assert visible(text) == text


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3))
def test_json_without_hidden_characters_is_the_same_data(value: dict[str, str]) -> None:
    escaped = hidden_escaped(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(escaped) == json.loads(json.dumps(value))
    assert actors(escaped.replace("\n", "")) == []


@pytest.mark.parametrize(
    ("token", "shown"),
    [(" States", "·States"), ("", "∅"), ("  ", "··"), ("a b ", "a b·"), (" \n", "·⏎"), ("the", "the")],
)
def test_tokens_show_their_edges(token: str, shown: str) -> None:
    assert visible_token(token) == shown
