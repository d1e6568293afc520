"""Work is done one thing ahead, in order, and by a thread that ends."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from headtorch.core.analysis.prefetch import ahead


def test_results_come_in_order() -> None:
    assert [*ahead(lambda n: n * n, range(5))] == [0, 1, 4, 9, 16]
    assert [*ahead(lambda n: n, [])] == []


def test_the_next_result_is_made_while_this_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(3)]
    with closing(ahead(lambda n: made[n].set(), range(3))) as results:
        next(results)
        assert made[1].wait(5)
        assert not made[2].is_set()


def test_an_error_comes_up_where_its_result_would() -> None:
    results = ahead(lambda n: 1 // n, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_the_thread_ends_when_the_results_are_closed() -> None:
    before = threading.active_count()
    with closing(ahead(lambda n: n, range(100))) as results:
        next(results)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
