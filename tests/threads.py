"""Work in other threads, each with its own database connections."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

#: Seconds that the slowest thread may take.
WITHIN = 60.0


def at_once(*work: Callable[[], Answer]) -> list[Answer]:
    """Run each function in its own thread, all starting at the same moment. Return their results in order.

    Raises the error of the first that failed, after all have ended.
    """
    barrier = threading.Barrier(len(work))

    def run(each: Callable[[], Answer]) -> Answer:
        barrier.wait(WITHIN)
        return closing_connections(each)()

    with ThreadPoolExecutor(len(work)) as threads:
        return [begun.result(WITHIN) for begun in [threads.submit(run, each) for each in work]]


def elsewhere(work: Callable[[], Answer]) -> Answer:
    """Run the function in another thread, and so on another connection. Return its result."""
    return at_once(work)[0]


def closing_connections(work: Callable[[], Answer]) -> Callable[[], Answer]:
    """Wrap the function for a thread that ends with it: open connections would prevent dropping the test database."""

    def run() -> Answer:
        try:
            return work()
        finally:
            connections.close_all()

    return run
