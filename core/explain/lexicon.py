"""Classes of tokens that can be told from the token's own text: letter case, numbers, punctuation, function words."""

from __future__ import annotations

import re
from functools import lru_cache

_WORDS = {
    "an article": "a an the",
    "a preposition": "about above across after against along among around as at before behind below between beyond by "
    "despite during except for from in into like near of off on onto out over past per since through throughout to "
    "toward towards under until up upon via with within without",
    "a pronoun": "i you he she it we they me him her us them myself yourself himself herself itself ourselves "
    "themselves who whom one someone anyone everyone nobody",
    "a possessive": "my your his her its our their whose mine yours ours theirs",
    "a demonstrative": "this that these those such",
    "a conjunction": "and or but nor yet so because although though while whereas if unless whether than as",
    "an auxiliary verb": "am is are was were be been being has have had having do does did can could may might must "
    "shall should will would",
    "a negation": "no not never none nothing neither nor without cannot",
    "a question word": "who whom whose what which when where why how",
    "a quantifier": "all any both each every few many more most much other same several some",
    "a number word": "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty "
    "seventy eighty ninety hundred thousand million billion trillion first second third fourth fifth dozen half",
    "a month": "january february march april may june july august september october november december",
    "a word for money": "dollar dollars cent cents pound pounds euro euros revenue debt money",
    'a form of "be"': "am is are was were be been being",
    'a form of "have"': "have has had having",
    "a modal verb": "can could may might must shall should will would",
    "a first-person word": "i we me us my our ours mine myself ourselves",
    "a third-person pronoun": "he she it they him her them himself herself itself themselves",
    "a relative pronoun": "who whom whose which that",
    "a coordinating conjunction": "and or but nor yet",
    "a subordinating conjunction": "because although though while whereas if unless whether than as when since until "
    "before after where",
    "a comparative": "more less better greater rather other fewer larger higher lower lesser further worse smaller "
    "stronger sooner later earlier longer",
    "a degree word": "very so too as quite most more less much how such entirely fully",
    "a word for time": "year years month months day days week weeks time today now session century hour hours season",
    "a word for an amount": "number part portion amount sum share majority rest most many some one all each any none "
    "half percent cent",
}
# Their words are function words only where another list has them.
_GROUPS = (
    "a number word",
    "a month",
    "a word for money",
    'a form of "be"',
    'a form of "have"',
    "a modal verb",
    "a first-person word",
    "a third-person pronoun",
    "a relative pronoun",
    "a coordinating conjunction",
    "a subordinating conjunction",
    "a comparative",
    "a degree word",
    "a word for time",
    "a word for an amount",
)
_LISTS = {name: frozenset(words.split()) for name, words in _WORDS.items()}
_FUNCTION_WORDS = frozenset(word for name in _LISTS.keys() - set(_GROUPS) for word in _LISTS[name])
_MARKS: dict[str, frozenset[str]] = {
    "a sentence end": frozenset(".!?"),
    "a comma": frozenset(","),
    "a colon or semicolon": frozenset(":;"),
    "a dash": frozenset("-‐‑–—"),
    "a quotation mark": frozenset('"“”«»`'),
    "an apostrophe": frozenset("'’‘"),
    "a bracket": frozenset("()[]{}<>"),
    "a currency sign": frozenset("$£€¥"),
}
_STOPS = re.compile(r"[.!?,:;–—\n]|--")
_ENDINGS = {"ing": 5, "ed": 4, "ly": 4, "tion": 6, "s": 4, "ment": 6, "al": 5}  # ending: shortest word that counts
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")


@lru_cache(maxsize=65536)
def normal_word(token: str) -> str | None:
    """The token as a word, lower case and without spaces around it; None where it is not one."""
    word = token.strip().lower()
    return word if word.isalpha() else None


@lru_cache(maxsize=65536)
def token_classes(token: str) -> tuple[str, ...]:
    """Every class the token belongs to, named with its article ("a preposition", "a year")."""
    bare = token.strip()
    classes = list(_word_classes(token, bare)) if bare.isalpha() else list(_other_classes(bare))
    if "\n" in token:
        classes.append("a line break")
    return tuple(classes)


def _word_classes(token: str, bare: str) -> list[str]:
    word = bare.lower()
    found = [name for name, words in _LISTS.items() if word in words]
    found.append("a function word" if word in _FUNCTION_WORDS else "a content word")
    if len(bare) > 1 and bare.isupper():
        found.append("a word in capitals")
    elif bare[0].isupper():
        found.append("a capitalised word")
    elif bare.islower():
        found.append("a lower-case word")
    if not token[0].isspace():
        found.append("a piece without a space in front")
    if word not in _FUNCTION_WORDS:
        found += [f"a word in -{end}" for end, least in _ENDINGS.items() if len(word) >= least and word.endswith(end)]
    return found


def _other_classes(bare: str) -> list[str]:
    found = [name for name, marks in _MARKS.items() if any(character in marks for character in bare)]
    if any(character.isdigit() for character in bare):
        found.append("a number")
        if _YEAR.fullmatch(bare):
            found.append("a year")
    elif bare and not any(character.isalnum() for character in bare):
        found.append("punctuation")
    return found


@lru_cache(maxsize=65536)
def is_stop(token: str) -> bool:
    """Whether a clause ends with the token: it holds one of . ! ? , : ; a dash, or a line break."""
    return _STOPS.search(token) is not None
