"""The filter of the neurons: terms separated by spaces, of which a neuron must meet all."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headtorch.core.text import visible_token
from headtorch.tui.panes.neuron_table import KINDS, NeuronTable

Mask = NDArray[np.bool_]

_TERM = re.compile(r'"([^"]*)"?|(\S+)')
_ADDRESS = re.compile(r"[Ll](\d{1,6})(?:\.?[Nn](\d{1,9}))?")


def matching(table: NeuronTable, text: str) -> Mask:
    """Which rows meet every term: a part of the token, "a whole token" in quotes, L3, L3.N412, or a kind."""
    kept = np.ones(len(table), bool)
    for found in _TERM.finditer(text):
        whole, part = found.group(1), found.group(2)
        kept &= _is_token(table, whole) if whole is not None else _meets(table, part)
    return kept


def _meets(table: NeuronTable, term: str) -> Mask:
    plain = term.lower() == term
    kept = _tokens(table, lambda token: term in (token.lower() if plain else token))
    if address := _ADDRESS.fullmatch(term):
        here = table.layer == int(address[1])
        kept |= here if address[2] is None else here & (table.index == int(address[2]))
    for code, kind in enumerate(KINDS):
        if term.lower() == kind:
            kept |= table.kind == code
    return kept


def _is_token(table: NeuronTable, whole: str) -> Mask:
    shown = visible_token(whole)
    return _tokens(table, lambda token: token == shown)


def _tokens(table: NeuronTable, test: Callable[[str], bool]) -> Mask:
    met = np.fromiter(map(test, table.shown_texts), bool, len(table.texts))
    kept: Mask = met[table.token] if len(met) else np.zeros(len(table), bool)
    return kept
