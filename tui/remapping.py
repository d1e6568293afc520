"""The user's own keys: the table `keys`, checked before Textual sees it, which ignores what it cannot use."""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping

from textual.keys import Keys, _character_to_key

from headtorch.core.text import visible
from headtorch.tui.keymap import BY_ID, COMMANDS, Command

MODIFIERS = frozenset({"ctrl", "shift", "alt", "meta", "super", "hyper"})
_NAMED = {key.value for key in Keys} | {_character_to_key(character) for character in string.printable}
TOGETHER = (  # places whose keys work at the same time
    {"app", "workbench", "list", "neurons"},
    {"app", "workbench", "list", "prompts"},
    {"app", "workbench", "heads"},
    {"app", "workbench", "detail"},
    {"app", "document", "list"},
    {"app", "try-text", "try-typing"},
    {"app", "try-text", "try-answer"},
    {"app", "pick", "choice"},
    {"app", "pick", "list"},
)


def read_keys(table: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """The entries that can be used, as Textual takes them (id -> keys), and a sentence for each of the others.

    An entry is left out when its command does not exist, it has no key, a key is unknown, or a key of it already does
    something else in the same place; the command then keeps its own keys.
    """
    usable: dict[str, tuple[str, ...]] = {}
    problems = []
    for name, value in table.items():
        keys = [part.strip() for part in value.split(",")] if isinstance(value, str) else []
        unknown = [key for key in keys if key and not _is_key(key)]
        if name not in BY_ID:
            problems.append(f"there is no command {visible(name)}{_nearest(name)}.")
        elif not keys or not all(keys):
            problems.append(f'the command {name} needs a key, such as "ctrl+k" or "K,f5".')
        elif unknown:
            problems.append(f"{visible(unknown[0])} is no key that {name} could have; write a, G, ctrl+k, f5 or slash.")
        else:
            usable[name] = tuple(dict.fromkeys(map(_as_textual, keys)))
    while clashing := _clash(usable):
        name, key, other = clashing
        problems.append(f"{key} cannot be the key of {name}: it is that of {other} already.")
        del usable[name]
    return {name: ",".join(keys) for name, keys in usable.items()}, problems


def _clash(usable: Mapping[str, tuple[str, ...]]) -> tuple[str, str, str] | None:
    """The first entry one of whose keys another command that works beside it has: (entry, key, the other's id)."""
    for name, keys in usable.items():
        for other in COMMANDS:
            if not _meet(BY_ID[name], other):
                continue
            theirs = usable.get(other.id, other.keys.split(","))
            shared = [key for key in keys if key in theirs and not _is_meant(key, BY_ID[name], other)]
            if shared:
                return name, shared[0], other.id
    return None


def _meet(one: Command, other: Command) -> bool:
    """Whether a key of both could mean two things."""
    if one.id == other.id or one.action == other.action:
        return False
    return one.place == other.place or any({one.place, other.place} <= places for places in TOGETHER)


def _is_meant(key: str, one: Command, other: Command) -> bool:
    """Whether both have the key from the outset: what has the focus then goes first."""
    return one.place != other.place and key in one.keys.split(",") and key in other.keys.split(",")


def _is_key(key: str) -> bool:
    if len(key) == 1:
        return key.isprintable()
    *modifiers, last = key.split("+")
    return set(modifiers) <= MODIFIERS and (last in _NAMED or len(last) == 1) and key.isprintable()


def _as_textual(key: str) -> str:
    return _character_to_key(key) if len(key) == 1 else key


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, BY_ID, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; the help lists all"
