"""How large an activation index is, told before it is made. No torch here."""

from __future__ import annotations

N_BINS = 10
N_PLACES = 8  # kept per bin, neuron and half
HALVES = 2


def index_bytes(neurons: int, *, gated: bool, top_k: int, reduced: bool) -> int:
    """Bytes of an index of so many neurons, in memory and on the disk; the corpus adds 8 for each window.

    A gated neuron has a ranking for each sign; in reduced precision rankings hold twice as many places.
    """
    rankings = (1 + gated) * top_k * (1 + reduced) * (8 + 4)  # key, offset
    sampled = N_BINS * (8 + N_PLACES * (8 + 8 + 4)) + 8 + 8  # count, reservoir; total, square
    return neurons * (HALVES * (rankings + sampled) + 8 + 8)  # low, width
