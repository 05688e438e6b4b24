"""At most two threads serve one site: one for what goes in, one for what is watched.

A lane is a PostgreSQL advisory lock. It saves work and nothing else: two workers in one lane lose races, not jobs
(`lifecycle.move`). Locks live in a session, and a session lent from a pool is not ours to keep; so each process holds
all its lanes on one connection of its own, open only while there is one. Should PostgreSQL restart meanwhile, the locks
are gone, other processes may enter, and the rows still decide.
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
    """This process's connection for locks. One session may take a lock twice, so what it holds is listed here."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: set[tuple[Lane, int]] = set()
        self._connection: psycopg.Connection[tuple[bool]] | None = None

    def take(self, lane: Lane, site_id: int) -> bool:
        with self._mutex:
            if (lane, site_id) in self._held or not self._try(lane, site_id):
                return False
            self._held.add((lane, site_id))
            return True

    def give_back(self, lane: Lane, site_id: int) -> None:
        with self._mutex:
            self._held.discard((lane, site_id))
            if self._connection is None:
                return
            try:
                # Before it is closed: PostgreSQL ends a session only some time after we have left it.
                self._call(_GIVE_BACK, lane, site_id)
            except psycopg.OperationalError:
                self._close()  # the session is gone, and its locks with it
            if not self._held:
                self._close()

    def _try(self, lane: Lane, site_id: int) -> bool:
        try:
            return self._call(_TAKE, lane, site_id)
        except psycopg.OperationalError:
            # PostgreSQL has restarted since; in a new session nothing is locked.
            self._close()
            return self._call(_TAKE, lane, site_id)

    def _call(self, statement: LiteralString, lane: Lane, site_id: int) -> bool:
        row = self._open().execute(statement, [_CLASSES[lane], site_id]).fetchone()
        return row is not None and row[0]

    def _open(self) -> psycopg.Connection[tuple[bool]]:
        if self._connection is None:
            parameters = connections["default"].get_connection_params()
            self._connection = psycopg.connect(**parameters, autocommit=True)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_session = Session()


@contextmanager
def lane(name: Lane, site_id: int) -> Iterator[bool]:
    """Hold a site's lane; False where another thread, here or elsewhere, has it."""
    if not _session.take(name, site_id):
        yield False
        return
    try:
        yield True
    finally:
        _session.give_back(name, site_id)
