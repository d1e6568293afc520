"""Which parts are merged with which: a binary tree over the shards, pairs merged as soon as both are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True, order=True)
class Node:
    """Level 0 are the shards; node (l, i) joins (l − 1, 2i) and (l − 1, 2i + 1)."""

    level: int
    index: int


@dataclass(frozen=True)
class Pair(Generic[Part]):
    """Two parts to be merged into what belongs to `node`."""

    node: Node
    left: Part
    right: Part


class MergeTree(Generic[Part]):
    """Holds the parts that wait for their sibling. A part without a sibling moves up as it is."""

    def __init__(self, leaves: int) -> None:
        self._leaves = leaves
        self._waiting: dict[Node, Part] = {}
        self.root: Part | None = None

    def add(self, node: Node, part: Part) -> Pair[Part] | None:
        """Put a part into its place; the pair that can be merged now, if there is one."""
        while not node.index % 2 and node.index + 1 == self._width(node.level):
            if node.index == 0:
                self.root = part
                return None
            node = Node(node.level + 1, node.index // 2)
        sibling = Node(node.level, node.index ^ 1)
        if sibling not in self._waiting:
            self._waiting[node] = part
            return None
        other = self._waiting.pop(sibling)
        parent = Node(node.level + 1, node.index // 2)
        return Pair(parent, other, part) if node.index % 2 else Pair(parent, part, other)

    def shards_of(self, node: Node) -> range:
        """The shards below a node."""
        return range(node.index << node.level, min((node.index + 1) << node.level, self._leaves))

    def _width(self, level: int) -> int:
        return -(-self._leaves >> level)  # ⌈leaves / 2^level⌉
