"""What language models cost: a table that the user writes, since prices change and none is known for sure here."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headtorch.core.settings import Price
from headtorch.core.text import visible

FILE = "prices.toml"
_DATE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")
_SIDES = ("prompt", "completion")


def price_of(prices: Mapping[str, Price], model: str) -> Price | None:
    """The price under the model's exact name, else under its name without a date at the end; None where unknown.

    A date is -2024-07-18, -20240718 or @20240718. No other prefix counts: a small model costs less than a large one.
    """
    return prices.get(model) or prices.get(_DATE.sub("", model))


def read_prices(path: Path) -> tuple[dict[str, Price], list[str]]:
    """The usable prices of a file, and a sentence for each entry that is not. No file: no prices. Never raises.

    The file is TOML, a table for each model in US dollars per million tokens:

        ["gpt-4o-mini"]
        prompt = 0.0
        completion = 0.0
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        return {}, [f"{visible(str(path))} cannot be read: {error.strerror}; every price is unknown."]
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        return {}, [f"{visible(str(path))} is not TOML ({visible(str(error))}); every price is unknown."]
    prices, problems = {}, []
    for model, entry in table.items():
        wrong = _wrong(entry)
        if wrong is None:
            prices[model] = Price(float(entry["prompt"]), float(entry["completion"]))
        else:
            problems.append(f"{visible(str(path))}: the price of {visible(model)} {wrong}; it counts as unknown.")
    return prices, problems


def unknown_price(model: str) -> str:
    """What to do where the cost is capped and a model's price is missing."""
    return (
        f"The price of {visible(model)} is unknown, so a cap on the cost cannot hold: add it to {FILE} beside "
        f'config.toml as ["{visible(model)}"] with its prompt and its completion in US dollars per million tokens '
        "(0 where it is free), or ask without max_cost."
    )


def _wrong(entry: object) -> str | None:
    if not isinstance(entry, dict):
        return "should be a table with prompt and completion, under the model's name in brackets and quotes"
    if nested := [name for name, value in entry.items() if isinstance(value, dict)]:
        return f"has a table {visible(nested[0])} in it: a name with a dot in it needs quotes"
    if unknown := [name for name in entry if name not in _SIDES]:
        return f"has {visible(unknown[0])}, which is neither prompt nor completion"
    if missing := [name for name in _SIDES if name not in entry]:
        return f"lacks {missing[0]}"
    if bad := [name for name in _SIDES if not _is_amount(entry[name])]:
        return f"has {bad[0]} = {visible(repr(entry[bad[0]]))[:40]}, which is no amount of dollars"
    return None


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
