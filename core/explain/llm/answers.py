"""Reading an explanation in what a language model answered: as tolerantly as is honest, or refused with a reason."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

from headtorch.core.explain.llm.json_in import answer_in, embedded, whole
from headtorch.core.explain.llm.prompts import EXPLAINER
from headtorch.core.text import HIDDEN_CATEGORIES, visible

EXPLANATION_LIMIT = 600  # characters; a longer one is cut after a sentence
ANSWER_LIMIT = 20_000  # characters of an answer without its reasoning; a longer one is not read


@dataclass(frozen=True)
class Unusable:
    """An answer that is no explanation, and why: one sentence."""

    reason: str


def read_explanation(text: str) -> str | Unusable:
    """The claim in an explainer's answer, one line of visible text.

    Refused: nothing; nothing but reasoning; JSON without an explanation; a refusal to answer; words of the question
    given back; more than ANSWER_LIMIT characters, or no sentence that ends within EXPLANATION_LIMIT; a claim most of
    whose letters outside quotation marks are not Latin. A French claim cannot be told from an English one with any
    certainty, and is kept.
    """
    if not text.strip():
        return Unusable("The model gave an empty answer.")
    answer = answer_in(text)
    if not answer:
        return Unusable("The model gave its reasoning and no answer; a larger max_tokens may help.")
    if len(answer) > ANSWER_LIMIT:
        return Unusable(f"The model answered with {len(answer)} characters, which is no claim.")
    said = _said(answer)
    if said is None:
        return Unusable("The model's answer is JSON without an explanation, or was cut off in the middle of it.")
    claim = one_line(said)
    fault = _fault(claim)
    return Unusable(fault) if fault else _within_limit(claim)


def explanation_so_far(text: str) -> str:
    """What a reader may see of an explanation while it arrives: without reasoning and without the JSON around it."""
    answer = answer_in(text)[:ANSWER_LIMIT]
    field = _FIELD.search(answer)
    said = _unescaped(field[1]) if field else "" if answer.startswith(("{", "`")) else answer
    return one_line(said)[:EXPLANATION_LIMIT]


def one_line(text: str) -> str:
    """The words with single spaces between them; labels, emphasis and quotation marks around it all are taken off."""
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in HIDDEN_CATEGORIES)
    line, before = " ".join(visible("".join(kept)).split()), ""
    while line != before:
        before = line
        line = _LABEL.sub("", line)
        for opening, closing in _AROUND:
            inside = line[len(opening) : -len(closing)]
            if line == f"{opening}{inside}{closing}" and opening not in inside:
                line = inside.strip()
    return line


def _said(answer: str) -> str | None:
    """The words of the explanation; None for JSON that holds none."""
    for value in whole(answer):
        return _explanation_of(value, alone=True)
    for value in reversed(embedded(answer)):
        found = _explanation_of(value)
        if found is not None:
            return found
    field = _FIELD.search(answer)
    if field and field[2]:
        return _unescaped(field[1])
    fence = _FENCE.fullmatch(answer)
    plain = fence[1].strip() if fence else answer
    return None if plain.startswith(("{", "[{")) else plain


def _explanation_of(value: object, *, alone: bool = False) -> str | None:
    """`alone`: nothing is said beside the value, so that its only field is the explanation under any name."""
    if isinstance(value, str):
        return value if alone else None
    if isinstance(value, list) and len(value) == 1 and (alone or isinstance(value[0], dict)):
        return _explanation_of(value[0], alone=alone)
    if not isinstance(value, dict):
        return None
    named = [held for key, held in value.items() if str(key).lower() in _NAMES]
    held = named or (list(value.values()) if alone and len(value) == 1 else [])
    return held[0] if held and isinstance(held[0], str) else None


def _unescaped(inside: str) -> str:
    whole_escapes = _BROKEN_ESCAPE.sub("", inside)
    try:
        return str(json.loads(f'"{whole_escapes}"', strict=False))
    except ValueError:  # escaped as no JSON is
        return whole_escapes.replace('\\"', '"').replace("\\n", " ")


def _fault(claim: str) -> str | None:
    if not any(character.isalpha() for character in claim):
        return "The model gave an explanation without words."
    if _REFUSAL.match(claim):
        return f"The model declined to explain: {_shortened(claim)}"
    if _repeats_the_question(claim):
        return f"The model gave the question back: {_shortened(claim)}"
    if _is_foreign(claim):
        return f"The model did not answer in English: {_shortened(claim)}"
    if not _within_limit(claim):
        return f"The model's explanation has {len(claim)} characters and no sentence that ends within the limit."
    return None


def _within_limit(claim: str) -> str:
    """The claim, or the sentences of it that fit; empty where none does."""
    if len(claim) <= EXPLANATION_LIMIT:
        return claim
    ends = [found.end() for found in _SENTENCE_END.finditer(claim[: EXPLANATION_LIMIT + 1])]
    return claim[: ends[-1]] if ends else ""


def _repeats_the_question(claim: str) -> bool:
    words = _words(claim)
    if not _QUOTATION.search(claim) and not set(words) - _SAYS_NOTHING:
        return True
    if "these texts" in claim.lower():  # the examples, which nobody else will see
        return True
    return len(words) >= 6 and f" {' '.join(words)} " in f" {' '.join(_words(EXPLAINER))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _is_foreign(claim: str) -> bool:
    letters = [c for c in _QUOTATION.sub("", claim) if c.isalpha()]
    return sum(not unicodedata.name(c, "").startswith("LATIN") for c in letters) * 2 > len(letters)


def _shortened(claim: str) -> str:
    return claim if len(claim) <= 80 else f"{claim[:79]}…"


_NAMES = {"explanation", "claim", "hypothesis", "description", "answer"}
_AROUND = (("**", "**"), ("*", "*"), ("`", "`"), ('"', '"'), ("“", "”"), ("'", "'"))
_FIELD = re.compile(r"[\"']explanation[\"']\s{0,20}:\s{0,20}\"((?:[^\"\\]|\\.)*+)(\"?)", re.DOTALL)
_FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_BROKEN_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*+)\\(?:u[0-9a-fA-F]{0,3})?$")
_SENTENCE_END = re.compile(r"[.!?][\"'”)]?(?= )")
_QUOTATION = re.compile(r"\"[^\"]*\"|“[^”]*”|‘[^’]*’|«[^»]*»|「[^」]*」|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
_LABEL = re.compile(
    r"\A\W{0,4}(?:final |my |(?:here is|here['’]s) (?:the|my) )?(?:explanation|claim|answer|hypothesis)"
    r"[^\w\"'“]{0,4}:[^\w\"'“]{0,4}",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"(?:(?:i['’]?m|i am|we['’]?re|we are) )?(?:very |so )?(?:sorry|unable to|not able to|afraid)\b"
    r"|(?:unfortunately,? )?(?:i|we) (?:cannot|can['’]?t|can not|could not|couldn['’]?t|won['’]?t|will not|don['’]?t"
    r"|do not)\b"
    r"|as an? (?:ai|large|language)\b|i(?: would|['’]d)? need\b|(?:please|can you|could you) (?:provide|share|give)\b"
    r"|(?:n/a|unknown|none|null)\W*\Z",
    re.IGNORECASE,
)
_SAYS_NOTHING = set(
    _words(
        "a active an and answer attention claim explanation fires head here inactive is it json me model my neuron not "
        "object of one or sentence string text texts that the this what when whenever your"
    )
)
