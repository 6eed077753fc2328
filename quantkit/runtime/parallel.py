"""Work side by side on several threads: results in order, and few of them waiting."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

# Enough for two threads to have work while the caller stores a result.
_AHEAD = 4

# Of the process, not of a context: threads of a pool must know it, too.
_core_limit = 0


@contextmanager
def at_most_cores(count: int) -> Iterator[None]:
    """Keep what is opened inside from using more than ``count`` cores; 0 is no limit.

    Sessions of ONNX Runtime that would take all cores, :func:`cores` and NumPy's products obey.
    """
    global _core_limit
    before = _core_limit
    _core_limit = count
    try:
        with threadpool_limits(count, user_api="blas") if count else nullcontext():
            yield
    finally:
        _core_limit = before


def core_limit() -> int:
    """The number of :func:`at_most_cores`; 0 where there is no limit."""
    return _core_limit


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """Threads for tasks that multiply matrices of their own.

    NumPy's own threads would compete with them, and lose a third of the time by it: while these are
    open, each product stays on the calling thread.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count) as pool:
        yield pool


def side_by_side(
    pool: Executor | None, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """What ``function`` makes of each of ``items``, in order.

    Args:
        pool: runs up to four at once, beyond the one that the caller has taken: results may be
            large. None: one after the other, in the caller's thread.
    """
    if pool is None:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()


def cores() -> int:
    """Cores that this process may use, at most :func:`core_limit`."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    return min(available, _core_limit or available)
