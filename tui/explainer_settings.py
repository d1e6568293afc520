"""The table `explainer`: which language model explains and judges, how it is reached, and how far.

An entry that cannot be used is no reason not to start, but no language model is asked until it is put right: without
it, texts could go to another endpoint, or more be spent than was allowed.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headtorch.core.errors import InputError
from headtorch.core.explain.llm.prices import FILE as PRICES
from headtorch.core.explain.llm.prices import price_of, read_prices, unknown_price
from headtorch.core.settings import LlmAccess, LlmSettings
from headtorch.core.text import visible

if TYPE_CHECKING:
    from headtorch.tui.settings import TuiSettings

URL_VARIABLE = "OPENAI_BASE_URL"
_QUESTION = tuple(name for name in LlmSettings.__struct_fields__ if name != "prompts")
_ACCESS = tuple(name for name in LlmAccess.__struct_fields__ if name != "prices")
EXPLAINER_SETTINGS = (*_QUESTION, *_ACCESS)

_COUNTS = {  # smallest and largest value
    "max_tokens": (1, 1_000_000),
    "concurrency": (1, 256),
    "attempts": (1, 100),
    "max_calls": (0, 10**9),
    "judge_batch": (1, 100),
    "control_n": (0, 10_000),
    "random_n": (0, 10_000),
}
_AMOUNTS = {"timeout": (1.0, 86_400.0), "max_cost": (0.0, 1e9)}
_KEYS = re.compile(
    r"(?i)\s*(bearer\s|[gpr]?sk[-_]|hf_\w{20}|xai-|nvapi-|aiza\w{20}|r8_\w{20}|pplx-|key-|ghp_|eyj\w{20})"
)
_KEY_NAMES = re.compile(r"(?i)(?:.*_)?(?:key|token|secret|password)$")


def read_explainer(table: object) -> tuple[dict[str, Any], list[str]]:
    """The usable entries of the table, and a sentence for each of the others. No sentence repeats what may be a key."""
    if not isinstance(table, dict):
        return {}, ["explainer should be a table; it is not used."]
    used, problems = {}, []
    for name, value in table.items():
        if name not in EXPLAINER_SETTINGS:
            problems.append(_unknown(name))
        elif (wrong := _wrong(name, value)) is not None:
            problems.append(f"explainer.{name} {wrong}.")
        else:
            used[name] = value
    return used, problems


def in_force(table: Mapping[str, Any]) -> dict[str, Any]:
    """Every entry as it holds, defaults and the environment included; those that nothing sets are left out."""
    merged = {**_defaults(), **table}
    if "base_url" not in table and (url := _url_of_environment()) and _wrong_url(url) is None:
        merged["base_url"] = url
    return {name: merged[name] for name in EXPLAINER_SETTINGS if merged[name] is not None}


def explainer_problems(settings: TuiSettings) -> list[str]:
    """What else is in the way of a language model: the environment and the prices, a sentence each."""
    problems = read_prices(settings.folder / PRICES)[1]
    if settings.explainer and "base_url" not in settings.explainer and (url := _url_of_environment()):
        wrong = _wrong_url(url)
        problems += [] if wrong is None else [f"{URL_VARIABLE} {wrong}."]
    return problems


def llm_settings(settings: TuiSettings, **flags: Any) -> tuple[LlmSettings | None, LlmAccess]:
    """What a study asks of a language model (None where no model is named), and how that is reached.

    Flags are named like the settings and go before the file, and the file before the environment; None is not given.
    Raises InputError for what cannot be used, there or in the file, and where the cost is capped and a price unknown.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if unknown := given.keys() - set(EXPLAINER_SETTINGS):
        raise TypeError(f"no such settings: {sorted(unknown)}")
    for name, value in given.items():
        if (wrong := _wrong(name, value)) is not None:
            raise InputError(f"{flag(name)} {wrong}.")
    if settings.explainer_problems:
        raise InputError(settings.explainer_problems[0])
    prices, _ = read_prices(settings.folder / PRICES)
    merged = {**settings.explainer, **given}
    access = LlmAccess(**{name: merged[name] for name in _ACCESS if name in merged}, prices=prices)
    if "model" not in merged:
        return None, access
    asked = _asked(merged)
    if access.max_cost is not None:
        for model in (asked.model, asked.judge_model or asked.model):
            if price_of(prices, model) is None:
                raise InputError(unknown_price(model))
    return asked, access


def flag(name: str) -> str:
    """The option of the command line that gives a setting."""
    return "--explainer-model" if name == "model" else f"--{name.replace('_', '-')}"


def _asked(merged: Mapping[str, Any]) -> LlmSettings:
    chosen = {name: merged[name] for name in _QUESTION if name in merged}
    if "base_url" not in chosen and (url := _url_of_environment()):
        if (wrong := _wrong_url(url)) is not None:
            raise InputError(f"{URL_VARIABLE} {wrong}.")
        chosen["base_url"] = url
    for name in ("base_url", "judge_base_url"):
        if name in chosen:
            chosen[name] = chosen[name].strip().rstrip("/")  # one spelling: it is part of the study's question
    if chosen.get("temperature") == "default":
        chosen["temperature"] = None
    elif "temperature" in chosen:
        chosen["temperature"] = float(chosen["temperature"])
    return LlmSettings(**chosen)


def _defaults() -> dict[str, Any]:
    llm, access = LlmSettings(model=""), LlmAccess()
    found = {name: getattr(llm if name in _QUESTION else access, name) for name in EXPLAINER_SETTINGS}
    return {**found, "model": None}


def _url_of_environment() -> str:
    return os.environ.get(URL_VARIABLE, "").strip()


def _wrong(name: str, value: object) -> str | None:
    """What is wrong, as the rest of a sentence that begins with the setting's name; None where nothing is."""
    if name.endswith("api_key_env"):
        return _wrong_variable(value)
    if isinstance(value, str) and _KEYS.match(value):
        return "looks like a key, which belongs into an environment variable that api_key_env names"
    if name in _COUNTS:
        low, high = _COUNTS[name]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"is {_said(value)}, but should be a whole number from {low} to {high}"
    if name in _AMOUNTS:
        least, most = _AMOUNTS[name]
        what = "dollars" if name == "max_cost" else "seconds"
        return None if _is_number(value, least, most) else f"is {_said(value)}, but should be {what}, {least:g} or more"
    match name:
        case "temperature":
            fits = value == "default" or _is_number(value, 0.0, 2.0)
            return None if fits else f'is {_said(value)}, but should be a number from 0 to 2, or "default"'
        case "hide_target":
            return None if isinstance(value, bool) else f"is {_said(value)}, but should be true or false"
        case "base_url" | "judge_base_url":
            return _wrong_url(value)
    usable = isinstance(value, str) and value.isprintable() and value == value.strip() and 0 < len(value) <= 300
    return None if usable else f"is {_said(value)}, but should be a model's name as the endpoint knows it"


def _wrong_variable(value: object) -> str | None:
    """Nothing of the value is said: it may be the key itself."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value) and not _is_keylike(value):
        return None
    return (
        "should be the name of an environment variable that holds the key, such as OPENAI_API_KEY; "
        "a key itself is never written down (what stands there is not shown)"
    )


def _is_keylike(value: str) -> bool:
    mixed = any(map(str.islower, value)) and any(map(str.isupper, value)) and any(map(str.isdigit, value))
    random = len(value) >= 24 and "_" not in value and any(map(str.isdigit, value))
    return _KEYS.match(value) is not None or (mixed and len(value) >= 20) or random


def _wrong_url(value: object) -> str | None:
    form = "but should be an address such as https://api.openai.com/v1 or http://localhost:8000/v1"
    if not isinstance(value, str) or not value.isprintable() or " " in value.strip() or len(value) > 500:
        return f"is {_said(value)}, {form}"
    try:
        parts = urlsplit(value.strip())
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        complete = False
    if "@" in value or "?" in value or "#" in value:  # where secrets stand in addresses
        return f"has a user, a password or a query in it (it is not shown), {form}"
    if not complete:
        return f"is {_said(value)}, {form}"
    if value.strip().rstrip("/").endswith("/chat/completions"):
        return f"is {_said(value)}, but should end before /chat/completions"
    return None


def _is_number(value: object, least: float, most: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )


def _unknown(name: str) -> str:
    if _KEYS.match(name):
        return "explainer has an entry whose name looks like a key; keys belong into environment variables."
    if _KEY_NAMES.match(name):
        return (
            f"there is no setting explainer.{visible(name)}: put the key into an environment variable and name that "
            "in api_key_env."
        )
    near = difflib.get_close_matches(name, EXPLAINER_SETTINGS, n=1, cutoff=0.5)
    other = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(EXPLAINER_SETTINGS)}."
    return f"there is no setting explainer.{visible(name)}{other}"


def _said(value: object) -> str:
    text = visible(repr(value))
    return text if len(text) <= 60 else f"{text[:59]}…"
