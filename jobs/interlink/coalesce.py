"""Request coalescing: concurrent lookups share one query.

A thread that comes while no query runs makes its own at once. Threads that come while one runs wait, and the first of
them makes the next query for all of them. Under load one round trip to the database so serves many requests: the round
trip and the wake-up cost several times as much as the answer.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Turn(Generic[Key, Result]):
    """The receiver makes the next query, for itself and for these others."""

    others: Sequence[_Waiter[Key, Result]] = ()


@dataclass(frozen=True)
class _Shared(Generic[Result]):
    """The results for the receiver, from another thread's query; None where that query failed."""

    results: Sequence[Result] | None


@dataclass(eq=False)
class _Waiter(Generic[Key, Result]):
    """A thread that waits, and the queue through which it is woken up."""

    keys: Sequence[Key]
    wake: SimpleQueue[_Turn[Key, Result] | _Shared[Result]] = field(default_factory=SimpleQueue)


class Coalescer(Generic[Key, Result]):
    """Shares one query among concurrent lookups.

    query: gives the results of keys, in the same order. It never runs twice at once. most: how many keys go together;
    a lookup of more keys than this goes alone.
    """

    def __init__(self, query: Callable[[Sequence[Key]], Sequence[Result]], *, most: int) -> None:
        self._query = query
        self._most = most
        self._mutex = threading.Lock()
        self._is_running = False
        self._waiting: deque[_Waiter[Key, Result]] = deque()

    def results(self, keys: Sequence[Key], *, timeout: float) -> Sequence[Result] | None:
        """A result for each key; None where the query failed that another thread made for this one.

        Raises what `query` raises in this thread, and queue.Empty where its query has not begun after `timeout`
        seconds.
        """
        turn = self._wait(_Waiter(keys), timeout)
        if isinstance(turn, _Shared):
            return turn.results
        results: Sequence[Result] | None = None
        try:
            results = self._query([*keys, *chain.from_iterable(other.keys for other in turn.others)])
        finally:
            self._wake_next()
            start = len(keys)
            for other in turn.others:
                end = start + len(other.keys)
                other.wake.put(_Shared(None if results is None else results[start:end]))
                start = end
        return results[: len(keys)]

    @property
    def waiting(self) -> int:
        """How many threads wait for the next query."""
        return len(self._waiting)

    def _wait(self, me: _Waiter[Key, Result], timeout: float) -> _Turn[Key, Result] | _Shared[Result]:
        with self._mutex:
            if not self._is_running:
                self._is_running = True
                return _Turn()
            self._waiting.append(me)
        try:
            return me.wake.get(timeout=timeout)
        except Empty:
            with self._mutex:
                if me in self._waiting:
                    self._waiting.remove(me)
                    raise
            return me.wake.get()  # its query began at the last moment

    def _wake_next(self) -> None:
        """Wakes the thread that has waited longest, which queries for itself and as many behind it as fit."""
        with self._mutex:
            if not self._waiting:
                self._is_running = False
                return
            first = self._waiting.popleft()
            others, room = [], self._most - len(first.keys)
            while self._waiting and (room := room - len(self._waiting[0].keys)) >= 0:
                others.append(self._waiting.popleft())
        first.wake.put(_Turn(others))
