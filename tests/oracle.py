"""A language model for whole studies, on loopback: claims and verdicts that depend on the text alone."""

from __future__ import annotations

import hashlib

from chat_server import Json, Said


def is_explaining(request: Json) -> bool:
    """Whether the explainer is asked, and not the judge."""
    return request["response_format"]["json_schema"]["name"] == "explanation"


def asked(request: Json) -> str:
    """What the user's turn says."""
    text: str = request["messages"][-1]["content"]
    return text


def number_of(text: str) -> int:
    """Always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], "big")


def oracle(request: Json) -> Said:
    """A claim for a set of texts, a verdict for a claim and a text; one in ten verdicts cannot be used."""
    number = number_of(asked(request))
    if is_explaining(request):
        return Said(f'{{"explanation": "Active when there are {number} owls."}}')
    if number % 10 == 0:
        return Said("Who knows?")
    return Said(f'{{"verdict": "{"active" if number % 2 else "inactive"}"}}')
