"""Rows of the corpus that several neurons' places share."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from headtorch.core.engine.claim_rows import ClaimRows
from headtorch.core.records import NeuronId
from headtorch.core.study.claim_places import ClaimPlaces

ONE, OTHER = NeuronId(1, 4), NeuronId(2, 0)
SIGNS = {ONE: -1, OTHER: 1}
DOCUMENTS = [[100 * d + i for i in range(1, 40)] for d in range(3)]
STRIDE = 16  # counted positions of a window
Place = tuple[int, int, bool, bool, int]  # document, position, firing, held out, pair


def places_of(chosen: Sequence[Place]) -> ClaimPlaces:
    """Each place with a row of its own: its window up to it, behind the first token 0."""
    starts = [position // STRIDE * STRIDE for _, position, *_ in chosen]
    rows = [[0, *DOCUMENTS[d][start : p + 1]] for (d, p, *_), start in zip(chosen, starts, strict=True)]
    document, position, firing, held_out, pair = (np.array(one) for one in zip(*chosen, strict=True))
    every = np.unique(np.concatenate([np.array(row) for row in rows]))
    lengths = np.array([len(row) for row in rows], np.int32)
    return ClaimPlaces(
        document=document.astype(np.int32), position=position.astype(np.int32), cluster=document.astype(np.int32),
        held_out=held_out, firing=firing, pair=pair.astype(np.int32), activation=np.ones(len(rows), np.float32),
        next_token=np.full(len(rows), -1, np.int32), row=np.arange(len(rows), dtype=np.int32), length=lengths,
        row_ids=np.concatenate([np.array(row, np.int32) for row in rows]),
        row_starts=np.cumsum([0, *lengths], dtype=np.int32), row_text=np.ones(len(rows), np.int32),
        vocabulary_ids=every.astype(np.int32), vocabulary=tuple(f" {i}" for i in every), titles=("a", "b", "c"),
    )  # fmt: skip


class StudyOf:
    """As much of a study as rows are read from."""

    def __init__(self, places: dict[NeuronId, ClaimPlaces]) -> None:
        self._places = {str(neuron): one for neuron, one in places.items()}
        firing = {n: SimpleNamespace(artefact=str(n), firing=SimpleNamespace(sign=SIGNS[n])) for n in places}
        self.state = SimpleNamespace(firing=firing)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        return self._places[name].arrays()


PLACES = {
    ONE: [
        (0, 5, True, False, 1), (0, 20, True, False, 0), (1, 9, True, True, 2), (2, 3, True, True, -1),
        (1, 2, False, False, 0), (0, 7, False, False, 1), (1, 14, False, True, 2),
    ],
    OTHER: [(0, 12, True, False, -1), (1, 9, True, True, -1), (0, 33, True, True, -1)],
}  # fmt: skip


def rows_of_both() -> ClaimRows:
    return ClaimRows(StudyOf({neuron: places_of(chosen) for neuron, chosen in PLACES.items()}), [ONE, OTHER])  # type: ignore[arg-type]


def test_places_of_one_window_share_a_row_as_long_as_the_last_of_them() -> None:
    rows = rows_of_both()
    expected = [
        [0, *DOCUMENTS[0][:13]], [0, *DOCUMENTS[0][16:21]], [0, *DOCUMENTS[1][:15]], [0, *DOCUMENTS[2][:4]],
        [0, *DOCUMENTS[0][32:34]],
    ]  # fmt: skip
    assert sorted(rows.rows) == sorted(expected)


def test_every_place_is_read_at_its_own_token() -> None:
    rows = rows_of_both()
    for neuron, chosen in PLACES.items():
        queries = rows.queries(neuron, np.arange(len(chosen)))
        assert set(queries.layer.tolist()) == {neuron.layer} and set(queries.index.tolist()) == {neuron.index}
        read = [rows.rows[r][o] for r, o in zip(queries.row, queries.offset, strict=True)]
        assert read == [DOCUMENTS[d][p] for d, p, *_ in chosen]


def test_firing_places_come_by_split() -> None:
    rows = rows_of_both()
    assert rows.firing(ONE).tolist() == [0, 1, 2, 3]
    assert rows.firing(ONE, held_out=False).tolist() == [0, 1] and rows.firing(ONE, held_out=True).tolist() == [2, 3]
    assert rows.firing(OTHER, held_out=True).tolist() == [1, 2]


def test_matched_pairs_stand_side_by_side() -> None:
    rows = rows_of_both()
    assert [one.tolist() for one in rows.pairs(ONE, held_out=False)] == [[1, 0], [4, 5]]
    assert [one.tolist() for one in rows.pairs(ONE, held_out=True)] == [[2], [6]]
    assert [len(one) for one in rows.pairs(OTHER, held_out=True)] == [0, 0]
    matched = rows.matched(ONE, held_out=False)
    assert (matched.neuron, matched.sign, len(matched)) == (ONE, -1, 2)
    on, off = ([rows.rows[r][o] for r, o in zip(q.row, q.offset, strict=True)] for q in (matched.on, matched.off))
    assert (on, off) == ([DOCUMENTS[0][20], DOCUMENTS[0][5]], [DOCUMENTS[1][2], DOCUMENTS[0][7]])
