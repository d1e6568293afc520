"""The columns that a record has as a row of a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from headtorch.core.records import Record

SEPARATOR = "; "  # of texts in one cell


class Column(NamedTuple):
    """A column: its name, the type of its values (each may be None), and how to get one from a row."""

    name: str
    kind: type  # str, int, float, bool; list: of int
    value: Callable[[Any], Any]


@cache
def columns(kind: type[Record]) -> list[Column]:
    """A column for each plain field, for each field of a record within ("rewrite_change"), and for lists of str or int.

    Lists of records have tables of their own and no column here.
    """
    made: list[Column] = []
    for name, hint in get_type_hints(kind).items():
        if name not in kind.__struct_fields__:
            continue
        inner = _without_none(hint)
        if isinstance(inner, type) and issubclass(inner, Record):
            made += [_within(name, column) for column in columns(inner)]
        elif get_origin(inner) is not list:
            made.append(Column(name, inner if isinstance(inner, type) else str, attrgetter(name)))
        elif get_args(inner) == (str,):
            made.append(Column(name, str, _joined(name)))
        elif get_args(inner) == (int,):
            made.append(Column(name, list, attrgetter(name)))
    return made


def _joined(name: str) -> Callable[[Any], Any]:
    return lambda row: SEPARATOR.join(getattr(row, name))


def _within(name: str, column: Column) -> Column:
    def value(row: Any) -> Any:
        inner = getattr(row, name)
        return None if inner is None else column.value(inner)

    return Column(f"{name}_{column.name}", column.kind, value)


def _without_none(hint: Any) -> Any:
    """`float` of `float | None`; a choice of words (Literal) stays what it is."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    return parts[0] if NoneType in get_args(hint) else hint
