"""Work in other threads, each with database connections of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

#: Seconds that the slowest of them may take.
WITHIN = 60.0


def at_once(*work: Callable[[], Answer]) -> list[Answer]:
    """Run each of them in a thread of its own, all from the same moment on, and return their answers in order.

    Raises the error of the first that failed, when all have ended.
    """
    barrier = threading.Barrier(len(work))

    def run(each: Callable[[], Answer]) -> Answer:
        barrier.wait(WITHIN)
        return closing_connections(each)()

    with ThreadPoolExecutor(len(work)) as threads:
        return [begun.result(WITHIN) for begun in [threads.submit(run, each) for each in work]]


def elsewhere(work: Callable[[], Answer]) -> Answer:
    """Run it in another thread, and so on another connection, and wait for its answer."""
    return at_once(work)[0]


def closing_connections(work: Callable[[], Answer]) -> Callable[[], Answer]:
    """The same, for a thread that ends with it: its connections would keep the test database from being dropped."""

    def run() -> Answer:
        try:
            return work()
        finally:
            connections.close_all()

    return run
