"""What a model thought aloud before its answer, taken away. Servers that know their model do it; here is the rest."""

from __future__ import annotations

import re

_TAG = re.compile(r"<(/?)(?:think|thinking|thought|thoughts|reasoning|seed:think)>|\[(/?)THINK\]", re.IGNORECASE)

# gpt-oss speaks in channels, of which only "final" is the answer. A decoder that leaves special tokens out runs their
# names together: analysisWe need to …assistantfinalActive when …
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_END = re.compile(r"<\|(?:end|return|start|call)\|>")
_THINKS_ALOUD = re.compile(r"analysis(?=[A-Z])")


def without_reasoning(text: str) -> str:
    """The answer alone; empty where a model only thought, or was cut off while it did. Linear in the text's length."""
    return _outside_tags(_final_channel(text)).strip()


def _final_channel(text: str) -> str:
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [channel for channel in channels if channel[1] == "final"]
        return _END.split(text[final[-1].end() :], maxsplit=1)[0] if final else ""
    if _THINKS_ALOUD.match(text.lstrip()):
        return text.rpartition("assistantfinal")[2] if "assistantfinal" in text else ""
    return text


def _outside_tags(text: str) -> str:
    """What stands outside <think>…</think>; the opening tag may be part of a template and so be missing."""
    kept: list[str] = []
    at, inside = 0, False
    for tag in _TAG.finditer(text):
        closing = "/" in tag[0]
        if closing and not inside:
            kept.clear()
        elif not closing and not inside:
            kept.append(text[at : tag.start()])
        inside, at = not closing, tag.end()
    return "".join(kept) if inside else "".join(kept) + text[at:]
