"""Reading verdicts in what a judge answered. Whatever contradicts itself, or says neither, is None."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from headtorch.core.explain.llm.answers import ANSWER_LIMIT
from headtorch.core.explain.llm.json_in import answer_in, embedded, whole
from headtorch.core.records import Verdict


def read_verdict(text: str) -> Verdict:
    """True for active, False for inactive, None for neither.

    Read in this order: a JSON field; a verdict under a label ("Verdict: inactive"); phrases that are nothing but a
    verdict ("Active.", "Yes, …"); any mention of active or not, unless it is hedged or part of a condition. The first
    of these that is there decides, and decides nothing where its readings differ.
    """
    answer = answer_in(text)
    if not answer or len(answer) > ANSWER_LIMIT:
        return None
    values = whole(answer) or [value for value in embedded(answer) if isinstance(value, dict)]
    fields = [reading for value in values for reading in _fields(value)]
    return _agreed(fields) if fields else _in_words(answer)


def read_verdicts(text: str, count: int) -> list[Verdict]:
    """The verdicts on `count` numbered texts; None for one that is missing, unreadable or given twice and differently.

    Numbers decide; a list without numbers counts only when it has as many entries as there were texts.
    """
    answer = answer_in(text)
    if len(answer) > ANSWER_LIMIT:
        return [None] * count
    pairs = [pair for value in whole(answer) or embedded(answer) for pair in _numbered(value, count)]
    if not pairs:
        pairs = [(int(number), read_verdict(rest)) for number, rest in _NUMBERED_LINE.findall(answer)]
    found: dict[int, list[Verdict]] = {}
    for number, verdict in pairs:
        found.setdefault(number, []).append(verdict)
    return [_agreed(found.get(number, [])) for number in range(1, count + 1)]


def _agreed(readings: Iterable[Verdict]) -> Verdict:
    distinct = set(readings)
    return distinct.pop() if len(distinct) == 1 else None


def _fields(value: Any) -> Iterator[Verdict]:
    if isinstance(value, dict):
        for key, held in value.items():
            name = re.sub(r"\W|_", "", str(key).lower())
            if name in _VERDICT_NAMES:
                yield _value(held)
            elif name in _ACTIVE_NAMES:
                reading = _value(held)
                inverted = name.endswith("inactive") and reading is not None
                yield not reading if inverted else reading
    elif isinstance(value, list):
        for item in value:
            yield from _fields(item)
    else:
        yield _value(value)


def _value(held: Any) -> Verdict:
    if isinstance(held, bool):
        return held
    if isinstance(held, int | float):
        return bool(held) if held in (0, 1) else None
    return _in_words(held) if isinstance(held, str) else None


def _numbered(value: Any, count: int) -> Iterator[tuple[int, Verdict]]:
    if isinstance(value, dict):
        numbers = [held for key, held in value.items() if str(key).lower() in _NUMBER_NAMES]
        if numbers:
            number = re.search(r"\d{1,6}", str(numbers[0]))
            if number:
                yield int(number[0]), _agreed(_fields(value))
            return
        for key, held in value.items():
            number = re.fullmatch(r"(?:text)?\W{0,3}(\d{1,6})", str(key).lower())
            if number:
                yield int(number[1]), _agreed(_fields(held))
            elif isinstance(held, dict | list):
                yield from _numbered(held, count)
    elif isinstance(value, list):
        if len(value) == count and not any(isinstance(item, dict | list) for item in value):
            yield from ((number, _value(item)) for number, item in enumerate(value, 1))
        for item in value:
            if isinstance(item, dict):
                yield from _numbered(item, count)


def _in_words(text: str) -> Verdict:
    words = _EITHER.sub(" ", text.lower().replace("’", "'"))
    if words.strip(" \t\n.\"'`*") in ("0", "1"):
        return "1" in words
    labelled = [_LABELS.get(re.sub(r"\W+", " ", found).strip()) for found in _LABELLED.findall(words)]
    if labelled:
        return _agreed(labelled)
    bare = [_WORDS[phrase] for phrase in map(_core, _BREAK.split(words)) if phrase in _WORDS]
    if bare:
        return _agreed(bare)
    if _HEDGE.search(words):
        return None
    return _agreed(bool(found["not"]) == bool(found["in"]) for found in _MENTION.finditer(words))


def _core(phrase: str) -> str:
    """What is left of a phrase without the words that only frame a verdict."""
    return " ".join(word for word in re.findall(r"[\w']+", phrase) if word.strip("_'") not in _FRAME).strip("_'")


_VERDICT_NAMES = {"verdict", "answer", "finalanswer", "label", "decision", "judgement", "judgment", "result", "head"}
_ACTIVE_NAMES = {"active", "isactive", "headactive", "headisactive", "inactive", "isinactive", "headisinactive"}
_NUMBER_NAMES = {"number", "no", "n", "id", "index", "text_number"}
_NUMBERED_LINE = re.compile(r"^[^\w\n]{0,6}(?:text )?(\d{1,6})[^\w\n]{1,6}(.{1,2000})$", re.IGNORECASE | re.MULTILINE)
_WORDS: dict[str, Verdict] = {
    **dict.fromkeys(["active", "yes", "true", "yes active", "not inactive"], True),
    **dict.fromkeys(["inactive", "in active", "non active", "nonactive", "not active", "isn't active"], False),
    **dict.fromkeys(["no", "false", "no inactive", "no not active", "no isn't active"], False),
    **dict.fromkeys(["yes inactive", "yes not active", "no active"], None),
}
_LABELS = {**_WORDS, "1": True, "0": False}
_FRAME = set(
    re.findall(
        r"\S+",
        "a and answer at attention be because conclusion decision final for head hence here i is it it's judgement "
        "judgment label likely most my probably say so text the therefore think this thus verdict would",
    )
)
_EITHER = re.compile(
    r"(?:neither\s{1,3})?\b(?:in)?active\b[\"'*]{0,3}\s{0,3}(?:or|nor|and|versus|vs\.?|/|\|)\s{0,3}[\"'*]{0,3}(?:in)?active\b"
)
_LABELLED = re.compile(
    r"\b(?:verdict|answer|decision|conclusion|judge?ment|label)\b\W{0,6}(?:(?:is|would be)\b\W{1,4})?"
    r"(non-?active|in-?active|not active|active|yes|no|true|false|[01])\b(?!\.\d)"
)
_BREAK = re.compile(r"[\n.!?;:,()]+|\s[-–—]\s|—")
_HEDGE = re.compile(
    r"\b(?:whether|unclear|unsure|uncertain|undecided|unknown|depends|cannot|can't|could be|might|may be|impossible"
    r"|not (?:clear|sure|certain|possible)|don't know|do not know|unable)\b"
)
_MENTION = re.compile(
    r"(?P<not>(?:\bnot|n't|\bnever|\bno longer)\s+(?:\w+\s+){0,3})?\b(?P<in>in-?|non-?)?active\b"
    r"(?!\s+(?:when|whenever|if|after|only|before|unless|where|until|texts?|because)\b)"
)
