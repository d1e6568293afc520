"""Rows go through the model in batches of like lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headtorch.core.analysis.batching import bucket_length, length_batches


@given(lengths=st.lists(st.integers(1, 300), max_size=60), batch_tokens=st.integers(1, 2000))
def test_batches_hold_every_row_once_within_the_budget_and_of_one_bucket(lengths: list[int], batch_tokens: int) -> None:
    batches = [batch.tolist() for batch in length_batches(lengths, batch_tokens)]
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        of_batch = [lengths[i] for i in batch]
        assert of_batch == sorted(of_batch)
        assert len(batch) == 1 or len(batch) * max(of_batch) <= batch_tokens
        assert len({bucket_length(length, 1000) for length in of_batch}) == 1


@given(lengths=st.lists(st.integers(1, 16), min_size=1, max_size=60))
def test_short_rows_share_a_batch(lengths: list[int]) -> None:
    assert len(list(length_batches(lengths, 16 * 60))) == 1
