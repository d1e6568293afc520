"""Every part is merged once, with its neighbours, in whatever order parts come and however often some are lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headtorch.core.scale.tree import MergeTree, Node


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_root_joins_all_parts_in_order_whatever_the_order_of_their_arrival(leaves: int, random) -> None:
    tree: MergeTree[tuple[int, ...]] = MergeTree(leaves)
    coming = [(Node(0, i), (i,)) for i in range(leaves)]
    merges = 0
    while coming:
        pair = tree.add(*coming.pop(random.randrange(len(coming))))
        if pair is not None:
            assert pair.left[-1] + 1 == pair.right[0]
            assert [*pair.left, *pair.right] == [*tree.shards_of(pair.node)]
            merges += 1
            coming.append((pair.node, pair.left + pair.right))
    assert tree.root == tuple(range(leaves))
    assert merges == leaves - 1


@given(st.integers(2, 40), st.randoms(use_true_random=False))
def test_shards_below_a_lost_merge_can_come_again(leaves: int, random) -> None:
    tree: MergeTree[tuple[int, ...]] = MergeTree(leaves)
    coming = [(Node(0, i), (i,)) for i in range(leaves)]
    losses = 5
    while coming:
        pair = tree.add(*coming.pop(random.randrange(len(coming))))
        if pair is not None and losses and random.random() < 0.3:
            losses -= 1
            coming += [(Node(0, i), (i,)) for i in tree.shards_of(pair.node)]
        elif pair is not None:
            coming.append((pair.node, pair.left + pair.right))
    assert tree.root == tuple(range(leaves))


def test_one_shard_is_the_root() -> None:
    tree: MergeTree[str] = MergeTree(1)
    assert tree.add(Node(0, 0), "all") is None
    assert tree.root == "all"
