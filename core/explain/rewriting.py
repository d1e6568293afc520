"""Rewriting (METHOD 7): held-out rows in which the tokens that make a rule hold are replaced, and placebo rows.

What becomes of the neuron on those rows is for others to measure.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from headtorch.core.analysis.likely_tokens import LikelyTokens
from headtorch.core.explain.features import MAX_TOKENS
from headtorch.core.explain.named_tokens import is_about_last_token, needs_insertion
from headtorch.core.explain.rewriting_plans import (
    Edit,
    Kind,
    Likelies,
    Likely,
    draw_insertions,
    draw_replacement,
    insertion_places,
    plan_edit,
    plan_placebo,
)
from headtorch.core.explain.rule import Rule
from headtorch.core.watch import SILENT, Watch

LEAST_ROWS = 8  # rewritten rows from which the rule counts as tested


@dataclass(frozen=True, kw_only=True)
class RewritePlan:
    """Rewritten rows, parallel lists. Indices are into the text (its tokens up to p), as `EditedToken` counts them.

    originals: index of the row that each was made from
    edited_rows: token ids, first token included, of which the rule is false; as long as the original, or one longer
    placebo_rows: the same with other tokens changed and the rule true; None where there is no placebo
    edited, placebo: index in the text → the token put there (insert: in front of the token there)
    holds: rows of which the rule holds
    not_testable: why the rule cannot be tested, where it cannot
    """

    kind: Kind = "replace"
    holds: int = 0
    originals: list[int] = field(default_factory=list)
    edited_rows: list[list[int]] = field(default_factory=list)
    placebo_rows: list[list[int] | None] = field(default_factory=list)
    edited: list[dict[int, str]] = field(default_factory=list)
    placebo: list[dict[int, str] | None] = field(default_factory=list)
    not_testable: str | None = None


def rewrite_places(
    likely: LikelyTokens,
    rows: Sequence[Sequence[int]],
    rule: Rule,
    texts: Sequence[Sequence[str]],
    *,
    seed: int,
    limit: int = 100,
    draws: int = 1,
    watch: Watch = SILENT,
) -> RewritePlan:
    """Rewrite at most `limit` of the rows of which the rule holds, `draws` times each.

    likely: over the same rows; give one object to all claims of a neuron, so that each row runs through the model once
    texts: of each row the last tokens, as the rule reads them

    The rows are taken in an order that the seed alone decides. A row is passed over where the last token makes the rule
    hold, where more than 6 tokens do, or where the model finds no token likely that would make it false. A rule of
    absence is tested by insertion. With fewer than 8 rows that have a placebo the rule is not testable.
    """
    judged = [tuple(text[-MAX_TOKENS:]) for text in texts]
    order = random.Random(seed).sample(range(len(judged)), len(judged))
    holding = [i for i in order if rule.judges(judged[i])]
    rewriter = _Rewriter(likely, rows, judged, rule, seed)
    plan = RewritePlan(kind=rewriter.kind, holds=len(holding), not_testable=_no_test(rule))
    if plan.not_testable is None:
        for i, edit, placebo in rewriter.rewritten(holding, limit, draws, watch):
            plan.originals.append(i)
            plan.edited.append(edit.texts)
            plan.edited_rows.append(rewriter.row(i, edit))
            plan.placebo.append(placebo.texts if placebo else None)
            plan.placebo_rows.append(rewriter.row(i, placebo) if placebo else None)
    pairs = {i for i, row in zip(plan.originals, plan.placebo_rows, strict=True) if row is not None}
    return plan if plan.not_testable or len(pairs) >= LEAST_ROWS else replace(plan, not_testable=_too_few(pairs, plan))


def _no_test(rule: Rule) -> str | None:
    if not rule.terms:
        return "There is no rule."
    return "The rule is about the last token, which is never changed." if is_about_last_token(rule) else None


def _too_few(pairs: Collection[int], plan: RewritePlan) -> str:
    return f"{len(pairs)} of the {plan.holds} held-out texts where the rule holds could be rewritten."


class _Rewriter:
    """One rule over the rows."""

    def __init__(
        self,
        likely: LikelyTokens,
        rows: Sequence[Sequence[int]],
        texts: Sequence[tuple[str, ...]],
        rule: Rule,
        seed: int,
    ) -> None:
        self._likely, self._rows, self._texts, self._rule, self._seed = likely, rows, texts, rule, seed
        self.kind: Kind = "insert" if needs_insertion(rule) else "replace"

    def rewritten(
        self, candidates: Sequence[int], limit: int, draws: int, watch: Watch
    ) -> Iterator[tuple[int, Edit, Edit | None]]:
        """The first `limit` of the candidates that can be rewritten, with their edits and placebos."""
        editable = [i for i in candidates if self._is_editable(i)]
        n_rows = 0
        while editable and n_rows < limit:
            batch, editable = editable[: limit - n_rows], editable[limit - n_rows :]
            self._likely.prepare(batch, watch)
            for i in batch:
                watch.checkpoint()
                edits = [self._edits(i, draw) for draw in range(draws)]
                yield from ((i, *pair) for pair in edits if pair is not None)
                n_rows += any(edits)

    def row(self, i: int, edit: Edit) -> list[int]:
        """The token ids of row i, edited."""
        return edit.apply_ids(self._rows[i], self._offset(i))

    def _is_editable(self, i: int) -> bool:
        if self.kind == "insert":
            return len(self._rows[i]) < self._likely.model.facts.context
        return plan_edit(self._rule, self._texts[i]) is not None

    def _edits(self, i: int, draw: int) -> tuple[Edit, Edit | None] | None:
        rng = random.Random(f"{self._seed} {i} {draw}")
        text, rule = self._texts[i], self._rule
        if self.kind == "insert":
            return draw_insertions(rule, text, self._likelies(i, insertion_places(text)), rng)
        indices = plan_edit(rule, text) or []
        others = plan_placebo(rule, text, indices, rng) or []
        likely = self._likelies(i, [*indices, *others])
        edit = draw_replacement(rule, text, indices, likely, False, rng)
        placebo = draw_replacement(rule, text, others, likely, True, rng) if others else None
        return (edit, placebo) if edit else None

    def _likelies(self, i: int, indices: Iterable[int]) -> Likelies:
        model = self._likely.model
        found: dict[int, list[Likely]] = {}
        for index in indices:
            ids, probabilities = self._likely.at(i, index + self._offset(i))
            texts = model.token_texts(ids.tolist())
            found[index] = [Likely(*one) for one in zip(ids.tolist(), texts, probabilities.tolist(), strict=True)]
        return found

    def _offset(self, i: int) -> int:
        return len(self._rows[i]) - len(self._texts[i])
