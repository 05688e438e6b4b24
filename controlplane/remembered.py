"""What a process remembers, to save asking again: values with a deadline, and one call to forget all of it.

Everything that a process keeps between two calls, and that another process has not, registers a function that lets go
of it. So a test can start as a new process does, and so does a forked child.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakSet

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Forget = TypeVar("Forget", bound=Callable[[], object])

_registered: list[Callable[[], object]] = []
_memories: WeakSet[Remembered[object, object]] = WeakSet()


def registered(forget: Forget) -> Forget:
    """Have `forget_everything` call this too; a decorator.

    It must also be right in a forked child: what the child shares with its parent, a connection say, it lets go of
    without a word to the other side.
    """
    _registered.append(forget)
    return forget


def forget_everything() -> None:
    """Start anew, as a new process does."""
    for memory in list(_memories):
        memory.forget()
    for forget in _registered:
        forget()


# A child has its parent's memory, but none of its threads, and must not use its connections. Ours fork before they
# serve (Granian) or not at all (Celery has threads), so this costs nothing and is hardly ever needed. But without it a
# fork that somebody adds one day would have two processes speak on one connection.
os.register_at_fork(after_in_child=forget_everything)


class Remembered(Generic[Key, Value]):
    """At most so many values, each until its own deadline; threads share it. `forget_everything` forgets them.

    A value may be forgotten early, never told late. Reading takes no lock: it is on the way of every request.
    """

    def __init__(self, *, at_most: int) -> None:
        self._at_most = at_most
        self._kept: dict[Key, tuple[float, Value]] = {}
        self._writing = threading.Lock()
        _memories.add(self)  # type: ignore[arg-type]  # whatever it holds: nothing is read through there

    def get(self, key: Key) -> Value | None:
        """What is remembered under this key, None where there is nothing or its deadline has passed."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and time.monotonic() < kept[0] else None

    def get_even_late(self, key: Key) -> Value | None:
        """The same whatever its deadline, as long as its place is not needed for others."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def put(self, key: Key, value: Value, *, seconds: float) -> None:
        """Remember a value for so many seconds. Where there is no room, those past their deadline go, or else all."""
        now = time.monotonic()
        with self._writing:
            if len(self._kept) >= self._at_most and key not in self._kept:
                good = {each: kept for each, kept in self._kept.items() if now < kept[0]}
                # At least half of the room, so that looking through all of them is rare.
                self._kept = good if len(good) <= self._at_most // 2 else {}
            self._kept[key] = (now + seconds, value)

    def drop(self, key: Key) -> None:
        """Forget this one; no error where there is none."""
        with self._writing:
            self._kept.pop(key, None)

    def forget(self) -> None:
        """Forget them all. With a lock of its own: a forked child has no thread that would give back the old one."""
        self._writing = threading.Lock()
        self._kept = {}

    def __contains__(self, key: Key) -> bool:
        """Whether something is remembered under this key, be it None."""
        kept = self._kept.get(key)
        return kept is not None and time.monotonic() < kept[0]

    def __len__(self) -> int:
        return len(self._kept)
