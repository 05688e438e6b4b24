"""In-memory caches of one process: values with a deadline, and one call that clears all of them.

Any state that a process keeps between two calls must be registered here with a function that resets it. Tests and
forked children call `forget_everything` to start like a new process.
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
    """Decorator: `forget_everything` calls the function too.

    The function must also work in a forked child. The child shares open connections with its parent: the function must
    drop its reference to them without sending anything.
    """
    _registered.append(forget)
    return forget


def forget_everything() -> None:
    """Clears every cache and calls every registered function: the process is then like a new one."""
    for memory in list(_memories):
        memory.clear()
    for forget in _registered:
        forget()


# A forked child has its parent's memory but not its threads, and must not use its connections. Our processes fork
# before they serve (Granian) or not at all (Celery uses threads), so this costs nothing and is rarely needed. It is a
# safeguard: without it, a fork added later would let two processes write to one connection.
os.register_at_fork(after_in_child=forget_everything)


class Remembered(Generic[Key, Value]):
    """A thread-safe cache of at most `at_most` values, each with its own deadline. `forget_everything` clears it.

    It may drop a value before its deadline. `get` never returns a value after its deadline. Reading takes no lock,
    because every request reads.
    """

    def __init__(self, *, at_most: int) -> None:
        self._at_most = at_most
        self._kept: dict[Key, tuple[float, Value]] = {}
        self._writing = threading.Lock()
        _memories.add(self)  # type: ignore[arg-type]  # any types will do: only `forget` is called there

    def get(self, key: Key) -> Value | None:
        """Returns the value of this key, or None if there is none or its deadline has passed."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and time.monotonic() < kept[0] else None

    def get_even_late(self, key: Key) -> Value | None:
        """Returns the value of this key even after its deadline, or None if it was dropped or never stored."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def put(self, key: Key, value: Value, *, seconds: float) -> None:
        """Stores a value for `seconds`. If the cache is full, drops the expired values, or all if few are expired."""
        now = time.monotonic()
        with self._writing:
            if len(self._kept) >= self._at_most and key not in self._kept:
                good = {each: kept for each, kept in self._kept.items() if now < kept[0]}
                # Frees at least half of the space, so that this search through all values is rare.
                self._kept = good if len(good) <= self._at_most // 2 else {}
            self._kept[key] = (now + seconds, value)

    def drop(self, key: Key) -> None:
        """Removes the value of this key, if there is one."""
        with self._writing:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Removes all values. Makes a new lock: in a forked child no thread is left that could release the old one."""
        self._writing = threading.Lock()
        self._kept = {}

    def __contains__(self, key: Key) -> bool:
        """Returns whether a value, which may be None, is stored under this key and its deadline has not passed."""
        kept = self._kept.get(key)
        return kept is not None and time.monotonic() < kept[0]

    def __len__(self) -> int:
        return len(self._kept)
