"""The neurons on the list as columns of numbers: a few of the study, or every one of its layers. Sorted by numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from headtorch.core.claims import CONTEXT_DRIVEN
from headtorch.core.engine.protocol import NeuronList
from headtorch.core.errors import AddressError
from headtorch.core.records import Kind, NeuronId, NextTokenNeuron
from headtorch.core.study.stages import has_claim_stages
from headtorch.core.study.state import StudyState
from headtorch.core.text import visible_token
from headtorch.tui.claims import claim_counts
from headtorch.tui.explaining import own_explainer

if TYPE_CHECKING:
    from headtorch.tui.session import Session

KINDS: tuple[Kind, ...] = get_args(Kind)
Column = Literal["neuron", "token", "P", "heads", "E", "ok", "c", "cos", "z", "kind", "n"]
COLUMNS: tuple[Column, ...] = get_args(Column)
ASCENDING: frozenset[Column] = frozenset({"neuron", "token", "kind"})  # read from the top; numbers begin with the most
MEASURED: frozenset[Column] = frozenset({"P", "heads", "E", "ok", "n"})  # while the study runs
OF_CLAIMS: frozenset[Column] = frozenset({"heads", "ok"})  # only in studies that test claims

OWN, RANDOM, VISITED, OTHER = range(4)  # of the study, of its random baseline, looked at beside it, of the layers
DRIVEN, LAST_TOKEN, BASELINE = range(3)  # groups: heads drive the neuron or that is not measured; not; random
_VALID_FIRST = 1000.0  # added to the context share, whose size stays below it

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class NeuronTable:
    """Columns of equal length; nan where a number is not known. The texts of tokens are stored once each."""

    layer: Ints
    index: Ints
    token: Ints  # into `texts`
    texts: list[str]  # raw
    c: Floats
    cos: Floats
    z: Floats
    kind: Ints  # into KINDS
    member: Ints = field(init=False)  # OWN, RANDOM, VISITED or OTHER
    P: Floats = field(init=False)
    heads: Floats = field(init=False)  # context share
    E: Floats = field(init=False)  # of the context claim; without claims the median over the scored heads
    ok: Floats = field(init=False)  # claims that are findings
    tested: Ints = field(init=False)  # claims
    n: Floats = field(init=False)  # scored heads
    valid: NDArray[np.bool_] = field(init=False)
    marked: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._orders: dict[tuple[Column, bool], Ints] = {}
        self._blank()

    def __len__(self) -> int:
        return len(self.layer)

    def _blank(self) -> None:
        size = len(self)
        self.P, self.heads, self.E, self.ok, self.n = (np.full(size, np.nan) for _ in range(5))
        self.tested = np.zeros(size, np.int64)
        self.valid, self.marked = np.zeros(size, bool), np.zeros(size, bool)
        self.member = np.full(size, OTHER, np.int64)

    @cached_property
    def _address(self) -> Ints:
        """One number per row, in the order of addresses."""
        return self.layer * self._span + self.index

    @cached_property
    def _span(self) -> int:
        return int(self.index.max()) + 1 if len(self) else 1

    @cached_property
    def _by_address(self) -> Ints:
        address = self._address
        if np.all(address[1:] > address[:-1]):
            return np.arange(len(self))
        return np.argsort(address, kind="stable")

    def neuron(self, row: int) -> NeuronId:
        """The address of a row."""
        return NeuronId(int(self.layer[row]), int(self.index[row]))

    def token_text(self, row: int) -> str:
        """The token of a row, as readers tell tokens apart."""
        return visible_token(self.texts[int(self.token[row])])

    @cached_property
    def shown_texts(self) -> list[str]:
        """`texts` as readers tell tokens apart."""
        return [visible_token(text) for text in self.texts]

    @cached_property
    def address_cells(self) -> int:
        """Room for the longest address."""
        return len(f"L{self.layer.max()}.N{self.index.max()}") if len(self) else 0

    def rows_of(self, neurons: Iterable[NeuronId]) -> dict[NeuronId, int]:
        """The rows of some neurons; those that are not in the table are left out."""
        wanted = list(neurons)
        if not wanted or not len(self):
            return {}
        keys, order, span = self._address, self._by_address, self._span
        sought = np.array([n.layer * span + n.index if n.index < span else -1 for n in wanted])
        at = np.minimum(np.searchsorted(keys, sought, sorter=order), len(keys) - 1)
        rows = order[at].tolist()
        return {n: row for n, row, key in zip(wanted, rows, sought.tolist(), strict=True) if keys[row] == key}

    def take_results(self, session: Session) -> None:
        """Fill in what the study has found about its own neurons, and the bookmarks."""
        self._blank()
        state = session.state
        known = [*state.neurons, *state.visited]
        members = self.rows_of(known)
        for neuron, row in members.items():
            found = state.neurons.get(neuron)
            self.member[row] = VISITED if found is None else RANDOM if found.random else OWN
            validity = state.validity.get(neuron)
            if validity is not None:
                self.P[row], self.valid[row] = validity.next_share, validity.valid
            if (share := state.context_share.get(neuron)) is not None:
                self.heads[row] = share.share.value
        self._take_scores(state, members)
        self._take_claims(session, members)
        for row in self.rows_of(_addresses(session.notes.bookmarks)).values():
            self.marked[row] = True

    def _take_scores(self, state: StudyState, members: Mapping[NeuronId, int]) -> None:
        own = own_explainer(state)
        scores: dict[NeuronId, list[float]] = {}
        for score in state.scores.values():
            if score.e is not None and score.explainer == own:
                scores.setdefault(score.neuron, []).append(score.e)
        for neuron, row in members.items():
            if mine := scores.get(neuron):
                self.E[row], self.n[row] = float(np.median(mine)), len(mine)

    def _take_claims(self, session: Session, members: Mapping[NeuronId, int]) -> None:
        """Of studies that test claims: E of the context claim instead of the heads' median."""
        if not has_claim_stages(session.state):
            return
        self.E[:] = np.nan
        for neuron, row in members.items():
            counts = claim_counts(session, neuron)
            if counts.tested:
                self.ok[row], self.tested[row] = counts.findings, counts.tested
            if counts.context_e is not None:
                self.E[row] = counts.context_e

    @property
    def group(self) -> Ints:
        """DRIVEN, LAST_TOKEN or BASELINE, by row."""
        groups = np.where(self.heads < CONTEXT_DRIVEN, LAST_TOKEN, DRIVEN)  # nan is not below
        return np.where(self.member == RANDOM, BASELINE, groups)

    def sorted(self, kept: NDArray[np.bool_], by: Column, reverse: bool) -> Ints:
        """The rows kept in order of a column, ties by address; what is not known comes last both ways."""
        order = self._order(by, (by not in ASCENDING) != reverse)
        rows: Ints = order[kept[order]]
        return rows

    def _order(self, by: Column, descending: bool) -> Ints:
        if by in MEASURED:
            return self._order_by(self._measured_keys(by), descending)
        if (by, descending) not in self._orders:
            self._orders[by, descending] = self._order_by(self._sort_keys(by), descending)
        return self._orders[by, descending]

    def _order_by(self, keys: Floats, descending: bool) -> Ints:
        keys = keys[self._by_address]
        known, unknown = np.flatnonzero(keys == keys), np.flatnonzero(keys != keys)
        values = -keys[known] if descending else keys[known]
        rows: Ints = self._by_address[np.concatenate([known[np.argsort(values, kind="stable")], unknown])]
        return rows

    def _measured_keys(self, by: Column) -> Floats:
        if by == "ok":
            return self.ok + self.tested / 1000.0
        if by != "heads":
            return np.asarray(getattr(self, by))
        known = np.nan_to_num(self.heads, nan=-_VALID_FIRST / 4)
        return np.where(self.valid, known + _VALID_FIRST, np.where(self.heads == self.heads, known, np.nan))

    def _sort_keys(self, by: Column) -> Floats:
        if by == "neuron":
            return self._address.astype(float)
        if by == "token":
            folded = [text.strip().casefold() for text in self.texts]
            rank = np.empty(len(folded))
            rank[sorted(range(len(folded)), key=folded.__getitem__)] = np.arange(len(folded))
            ranks: Floats = rank[self.token]
            return ranks
        return np.asarray(getattr(self, by), float)


def table_of(session: Session, rows: Iterable[NextTokenNeuron]) -> NeuronTable:
    """The study's own neurons."""
    found = list(rows)
    texts = list(dict.fromkeys(row.token for row in found))
    place = {text: at for at, text in enumerate(texts)}
    table = NeuronTable(
        layer=np.array([row.neuron.layer for row in found], np.int64),
        index=np.array([row.neuron.index for row in found], np.int64),
        token=np.array([place[row.token] for row in found], np.int64),
        texts=texts,
        c=np.array([row.congruence for row in found], float),
        cos=np.array([row.cosine for row in found], float),
        z=np.array([row.z for row in found], float),
        kind=np.array([KINDS.index(row.kind) for row in found], np.int64),
    )
    table.take_results(session)
    return table


def table_of_all(session: Session, listed: NeuronList) -> NeuronTable:
    """Every neuron of the layers; those of the study are known by their address."""
    _, first, token = np.unique(np.asarray(listed.token_id, np.int64), return_index=True, return_inverse=True)
    codes = {kind: code for code, kind in enumerate(KINDS)}
    table = NeuronTable(
        layer=np.asarray(listed.layer, np.int64),
        index=np.asarray(listed.index, np.int64),
        token=np.asarray(token, np.int64),
        texts=[listed.token[at] for at in first.tolist()],
        c=np.asarray(listed.congruence, float),
        cos=np.asarray(listed.cosine, float),
        z=np.asarray(listed.z, float),
        kind=np.fromiter(map(codes.__getitem__, listed.kind), np.int64, len(listed.kind)),
    )
    table.take_results(session)
    return table


def _addresses(subjects: Iterable[str]) -> list[NeuronId]:
    found = []
    for subject in subjects:
        try:
            found.append(NeuronId.parse(subject))
        except AddressError:
            continue
    return found
