"""Work on the next thing while the last one is in use."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """`work` of every item, in order; that of the next is done in a thread while the caller is busy with this one.

    Close the iterator where it is not read to its end: then the thread ends.
    """
    coming: Future[Result] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        for item in items:
            following = pool.submit(work, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
