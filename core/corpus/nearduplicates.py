"""Near-duplicate clusters of documents, and the two halves that keep every cluster whole.

Two documents are near-duplicates when the Jaccard similarity of their sets of 5-word shingles is at least 0.5, as
estimated by 256 MinHash values (standard error ≤ 0.03). Pairs are found by locality-sensitive hashing, 64 bands of 4
values: a pair of similarity s shares a band with probability 1 − (1 − s⁴)⁶⁴ (0.98 at 0.5, 0.9999 at 0.6). Clusters
are the connected components, so a copy of a copy stays with both. Signatures lie in a file and one band at a time is
sorted: memory stays under 100 bytes a document.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headtorch.core.watch import SILENT, Watch

SHINGLE_WORDS = 5
SIMILARITY = 0.5
BANDS, BAND_VALUES = 64, 4
VALUES = BANDS * BAND_VALUES

_SEED = 1
_BATCH = 512  # shingles a call: the fastest of 128 … 8192
# A sign of Chinese or Japanese counts as a word of its own: no spaces part words there.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")

Signatures = NDArray[np.uint32]  # [document, value]


def shingles(text: str) -> Iterator[bytes]:
    """Every run of 5 words, case and punctuation aside; all words of a text with fewer."""
    window: list[bytes] = []
    first = True
    for found in _WORD.finditer(text.casefold()):
        window.append(found[0].encode())
        if len(window) == SHINGLE_WORDS:
            yield b" ".join(window)
            del window[0]
            first = False
    if first and window:
        yield b" ".join(window)


class Signer:
    """MinHash signatures from one fixed set of permutations."""

    def __init__(self) -> None:
        from datasketch import MinHash  # 0.8 s with what it imports: only where documents are read

        self._blank: Any = MinHash(num_perm=VALUES, seed=_SEED, scheme="affine32")

    def signature(self, text: str) -> NDArray[np.uint32]:
        """The [value] signature of a text. A text without a word gets one of its own, from its bytes."""
        minhash = self._blank.copy()
        batch: list[bytes] = []
        for shingle in shingles(text):
            batch.append(shingle)
            if len(batch) == _BATCH:
                minhash.update_batch(batch)
                batch = []
        if not batch and minhash.is_empty():
            batch = [b"\0" + text.encode()]
        minhash.update_batch(batch)
        return np.asarray(minhash.hashvalues, dtype=np.uint32)


def find_clusters(signatures: Signatures, watch: Watch = SILENT) -> NDArray[np.int32]:
    """The cluster of each document: connected components of "shares a band and estimated Jaccard ≥ 0.5".

    Clusters are numbered by their first document. The partition does not depend on the order of documents.
    """
    parents = array("q", range(len(signatures)))
    for band in range(BANDS):
        watch.checkpoint()
        watch.progress("finding near-duplicates", band, BANDS, "bands")
        for members in _sharing(signatures[:, band * BAND_VALUES : (band + 1) * BAND_VALUES]):
            _join_similar(members, signatures, parents)
    roots = np.fromiter((_root(parents, document) for document in range(len(parents))), np.int64, len(parents))
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int32)
    number[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return number[inverse]


def _sharing(band: Signatures) -> Iterator[NDArray[np.int64]]:
    """Groups of documents whose values in this band are equal (or, rarely, hash alike: similarity is checked after)."""
    pairs = np.ascontiguousarray(band).view(np.uint64)  # [document, 2]
    keys = pairs[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ pairs[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)  # [document]
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    starts = np.concatenate(([0], ends))
    sizes = np.diff(np.concatenate((starts, [len(order)])))
    for group in np.flatnonzero(sizes > 1):
        yield order[starts[group] : starts[group] + sizes[group]]


def _join_similar(members: NDArray[np.int64], signatures: Signatures, parents: "array[int]") -> None:
    """Union every pair of `members` that is similar; pairs already together are not compared."""
    waiting = [int(document) for document in members]
    while waiting:
        one = waiting.pop()
        others = [other for other in waiting if _root(parents, other) != _root(parents, one)]
        if not others:
            return  # all that wait are in the cluster of this one
        for start in range(0, len(others), 4096):
            some = others[start : start + 4096]
            alike = (signatures[some] == signatures[one]).mean(axis=1) >= SIMILARITY  # [other]
            for position in np.flatnonzero(alike):
                _union(parents, one, some[position])


def _root(parents: "array[int]", document: int) -> int:
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


def _union(parents: "array[int]", one: int, other: int) -> None:
    low, high = sorted((_root(parents, one), _root(parents, other)))
    parents[high] = low


def split_halves(clusters: NDArray[np.int32], digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True for the documents of the explaining half, [document].

    A cluster's half is a bit of the hash of its canonical text, the member with the lowest SHA-256: neither the order
    nor the rest of the corpus matters, so a text shared by two corpora is in the same half of both. If that leaves
    one half without a cluster, the cluster of lowest hash moves there.
    """
    words = np.ascontiguousarray(digests).view(">u8")  # [document, 4]
    order = np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0], clusters))  # by cluster, then digest
    canonical = order[np.flatnonzero(np.diff(clusters[order], prepend=-1))]  # [cluster]
    explain = np.empty(len(canonical), dtype=np.bool_)
    lowest = b"\xff" * 33, 0
    for cluster, document in enumerate(canonical):
        hashed = hashlib.sha256(b"headtorch half\0" + digests[document].tobytes()).digest()
        explain[cluster] = hashed[0] & 1
        lowest = min(lowest, (hashed, cluster))
    if len(explain) > 1 and (explain.all() or not explain.any()):
        explain[lowest[1]] ^= True
    return explain[clusters]
