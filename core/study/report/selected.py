"""Which explained heads of a neuron a report for readers tells in full, and which in a row of a table.

A real model has hundreds of heads that can be explained for one neuron. The JSON and the tables hold all of them.
"""

from __future__ import annotations

from headtorch.core.records import Score
from headtorch.core.study.claim_rows import HeadClaimRow
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.parts import HeadPart, NeuronPart

IN_FULL = 8  # heads of a neuron, findings and marked heads aside
ROWS = 2000  # of other heads, over all neurons


def in_full(part: NeuronPart, report: Report) -> list[HeadPart]:
    """The strongest explained heads, and each that is in a finding or has a note, a bookmark or a high bound of E."""
    neuron = str(part.found.neuron)
    marked = {str(one.score.head) for one in report.explained if one.found.neuron == part.found.neuron}
    marked |= {row.head for row in report.findings if isinstance(row, HeadClaimRow) and row.neuron == neuron}
    subjects = [subject.partition(" ") for subject in (*part.notes, *report.bookmarks)]
    marked |= {head for of, _, head in subjects if of == neuron}
    explained = [head for head in part.heads if head.explanations]
    return [head for place, head in enumerate(explained) if place < IN_FULL or str(head.head) in marked]


def in_rows(part: NeuronPart, report: Report) -> tuple[list[tuple[HeadPart, Score | None]], int]:
    """The other explained heads with their scores, the highest lower bound of E first, and how many there are in all.

    Scores are those of the first explainer of each head.
    """
    full = {head.head for head in in_full(part, report)}
    others = [
        (head, next((one for one in head.scores if one.explainer == head.explanations[0].explainer), None))
        for head in part.heads
        if head.explanations and head.head not in full
    ]
    others.sort(key=lambda other: _lower_bound(other[1]), reverse=True)
    return others[: ROWS // max(1, len(report.neurons))], len(others)


def _lower_bound(score: Score | None) -> float:
    if score is None or score.e is None:
        return -1.0
    return score.interval.low if score.interval else 0.0
