"""Lets at most two threads serve one site: one submits and cleans ("in"), one polls and cancels ("watch").

A lane is a PostgreSQL advisory lock. It only saves work: two workers in one lane lose races, not jobs
(`lifecycle.move`). A lock belongs to a session, and a session from the pool cannot be kept. So each process holds all
its lanes on one connection of its own, which is open only while it holds a lane. If PostgreSQL restarts, the locks are
gone and other processes may enter the lane; the rows still decide.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, LiteralString

import psycopg
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

Lane = Literal["in", "watch"]

_TAKE: LiteralString = "SELECT pg_try_advisory_lock(%s, %s)"
_GIVE_BACK: LiteralString = "SELECT pg_advisory_unlock(%s, %s)"
#: First half of the lock's name; keeps lanes apart from other advisory locks and from each other.
_CLASSES: dict[Lane, int] = {"in": 0x15740001, "watch": 0x15740002}


class Session:
    """This process's connection for locks. PostgreSQL lets a session take a lock twice, so we list the locks taken."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken: set[tuple[Lane, int]] = set()
        self._connection: psycopg.Connection[tuple[bool]] | None = None

    def take(self, lane: Lane, site_id: int) -> bool:
        with self._mutex:
            if (lane, site_id) in self._taken or not self._try(lane, site_id):
                return False
            self._taken.add((lane, site_id))
            return True

    def give_back(self, lane: Lane, site_id: int) -> None:
        with self._mutex:
            self._taken.discard((lane, site_id))
            if self._connection is None:
                return
            try:
                # Unlock before closing: PostgreSQL ends a session only some time after the connection was closed.
                self._call(_GIVE_BACK, lane, site_id)
            except psycopg.OperationalError:
                self._close()  # the session has ended, and its locks with it
            if not self._taken:
                self._close()

    def _try(self, lane: Lane, site_id: int) -> bool:
        try:
            return self._call(_TAKE, lane, site_id)
        except psycopg.OperationalError:
            # PostgreSQL has restarted: a new session holds no locks.
            self._close()
            return self._call(_TAKE, lane, site_id)

    def _call(self, statement: LiteralString, lane: Lane, site_id: int) -> bool:
        if self._connection is None:
            parameters = connections["default"].get_connection_params()
            self._connection = psycopg.connect(**parameters, autocommit=True)
        row = self._connection.execute(statement, [_CLASSES[lane], site_id]).fetchone()
        return row is not None and row[0]

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_session = Session()


@contextmanager
def lane(name: Lane, site_id: int) -> Iterator[bool]:
    """Holds a site's lane. Yields False where another thread, in this process or another, holds it."""
    if not _session.take(name, site_id):
        yield False
        return
    try:
        yield True
    finally:
        _session.give_back(name, site_id)
