"""Work on many things at once, on all cores, in order, holding few results."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(items: Iterable[T], work: Callable[[T], R], *, workers: int | None = None) -> Iterator[R]:
    """Yield ``work(item)`` in order; threads, because what works long (the kernel, Arrow, Polars) lets others run.

    After an error, or where the caller stops, what has not begun is left out.

    Args:
        items: what to work on.
        work: done with each.
        workers: how many threads; one a core when left out.
    """
    workers = workers or cores()
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for left in pending:
                left.cancel()
