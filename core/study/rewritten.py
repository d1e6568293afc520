"""Rewritten texts as runs: what stands where which token stood, for terminals and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from headtorch.core.claims import EditedToken, RewrittenText
from headtorch.core.records import Record
from headtorch.core.text import visible

SHOWN = 24  # tokens, counted back from the firing position
AROUND = 4  # tokens in front of the first edit, where it lies further back
Kind = Literal["replace", "insert"]


class EditRun(Record, frozen=True, kw_only=True):
    """A stretch of a text. `before` stood there and gave way to `after`; of plain text both are the same."""

    before: str
    after: str

    @property
    def is_edit(self) -> bool:
        """Whether anything was changed."""
        return self.before != self.after


def edit_runs(tokens: Sequence[str], edits: Sequence[EditedToken], kind: Kind, most: int = SHOWN) -> list[EditRun]:
    """The end of a text with its edits, visible; "…" where its beginning is left out.

    An inserted token stands in front of the one at its index, so that `before` is empty.
    """
    edited = {edit.index: edit.token for edit in edits}
    start = max(0, min([len(tokens) - most, *(index - AROUND for index in edited)]))
    runs, plain = [], "…" if start else ""
    for index in range(start, len(tokens)):
        token = visible(tokens[index])
        if index in edited:
            runs += [EditRun(before=plain, after=plain)] if plain else []
            replaced = "" if kind == "insert" else token
            runs.append(EditRun(before=replaced, after=visible(edited[index])))
            plain = token if kind == "insert" else ""
        else:
            plain += token
    return [*runs, *([EditRun(before=plain, after=plain)] if plain else [])]


def marked_edits(runs: Sequence[EditRun]) -> str:
    """One line, the edits as ‹before → after›, an insertion as ‹+ after›."""
    return "".join(_marked(run) if run.is_edit else run.after for run in runs)


def shortened(text: RewrittenText, most: int) -> RewrittenText:
    """The text with its last `most` tokens, or more where an edit lies further back."""
    first = min([len(text.tokens), *(edit.index for edit in [*text.edited, *text.placebo])])
    cut = max(0, min(len(text.tokens) - most, first - AROUND))
    if not cut:
        return text
    return msgspec.structs.replace(
        text, tokens=text.tokens[cut:], edited=_moved(text.edited, cut), placebo=_moved(text.placebo, cut)
    )


def _marked(run: EditRun) -> str:
    space = " " if (run.before or run.after).startswith(" ") else ""
    after = run.after.strip(" ") or "∅"
    return f"{space}‹{run.before.strip(' ')} → {after}›" if run.before else f"{space}‹+ {after}›"


def _moved(edits: Sequence[EditedToken], cut: int) -> list[EditedToken]:
    return [EditedToken(edit.index - cut, edit.token) for edit in edits]
