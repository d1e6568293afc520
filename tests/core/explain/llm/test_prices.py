"""The user's table of prices: what can be used is used, and no price is ever guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from headtorch.core.explain.llm.prices import price_of, read_prices, unknown_price
from headtorch.core.settings import Price

SMALL, DATED = Price(1.0, 2.0), Price(3.0, 4.0)
PRICES = {"small": SMALL, "large": Price(0.0, 0.0), "large-2024-08-06": DATED}


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("small", SMALL),
        ("small-2024-07-18", SMALL),
        ("small-20240718", SMALL),
        ("small@20240718", SMALL),
        ("large", Price(0.0, 0.0)),
        ("large-2024-08-06", DATED),
        ("large-2024-11-20", Price(0.0, 0.0)),
        ("smaller", None),
        ("small-mini", None),
        ("small-mini-2024-07-18", None),
        ("small-0718", None),
        ("Small", None),
        ("", None),
    ],
)
def test_a_price_goes_by_the_exact_name_or_the_name_without_its_date(model: str, price: Price | None) -> None:
    assert price_of(PRICES, model) == price


def test_no_file_is_no_price_and_no_problem(tmp_path: Path) -> None:
    assert read_prices(tmp_path / "prices.toml") == ({}, [])
    assert read_prices(tmp_path / "none" / "prices.toml") == ({}, [])


def test_prices_are_dollars_per_million_tokens_under_the_models_name(tmp_path: Path) -> None:
    path = written(tmp_path, '["org/a.b:7b"]\nprompt = 0\ncompletion = 0.25\n[plain]\nprompt = 1\ncompletion = 2\n')
    assert read_prices(path) == ({"org/a.b:7b": Price(0.0, 0.25), "plain": Price(1.0, 2.0)}, [])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("bad = 3", "should be a table with prompt and completion"),
        ("[bad]\nprompt = 1", "lacks completion"),
        ("[bad]\ncompletion = 1", "lacks prompt"),
        ("[bad]\nprompt = -1\ncompletion = 1", "has prompt = -1, which is no amount of dollars"),
        ("[bad]\nprompt = 1\ncompletion = nan", "has completion = nan, which"),
        ("[bad]\nprompt = inf\ncompletion = 1", "has prompt = inf, which"),
        ("[bad]\nprompt = true\ncompletion = 1", "has prompt = True, which"),
        ('[bad]\nprompt = "$1"\ncompletion = 1', "has prompt = '$1', which"),
        ("[bad]\nprompt = 1\ncompletion = 1\ninput = 2", "has input, which is neither prompt nor completion"),
        ("[bad.1]\nprompt = 1\ncompletion = 1", "a name with a dot in it needs quotes"),
        ('["bad\\u001b[2J"]\nprompt = 1', "the price of bad\\x1b[2J lacks"),
    ],
)
def test_an_entry_that_cannot_be_used_is_one_sentence_and_the_rest_is_used(
    tmp_path: Path, entry: str, said: str
) -> None:
    prices, problems = read_prices(written(tmp_path, f"{entry}\n[good]\nprompt = 1\ncompletion = 2\n"))
    assert prices == {"good": Price(1.0, 2.0)}
    assert len(problems) == 1 and said in problems[0] and str(tmp_path) in problems[0]
    assert problems[0].isprintable() and problems[0].endswith("it counts as unknown.")


@pytest.mark.parametrize("content", [b"[bad", b"\xff\xfe", b"a = " + b"[" * 100_000])
def test_a_file_that_is_not_toml_leaves_every_price_unknown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "prices.toml").write_bytes(content)
    prices, problems = read_prices(tmp_path / "prices.toml")
    assert prices == {} and len(problems) == 1 and problems[0].endswith("every price is unknown.")


def test_a_folder_in_place_of_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").mkdir()
    assert "cannot be read" in read_prices(tmp_path / "prices.toml")[1][0]


def test_a_missing_price_is_said_with_what_to_write(tmp_path: Path) -> None:
    said = unknown_price("small")
    assert '["small"]' in said and "prices.toml" in said and "prompt" in said and "completion" in said
