"""The connections of /status: few, each with its statements prepared, and quick to say that PostgreSQL is away.

Below psycopg's cursors and its pool, straight on its libpq wrapper: a cursor and a pool cost a poll twice what
PostgreSQL does, and nothing here needs what they give. Only single reads, outside of any transaction.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from functools import cache
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection
from psycopg import OperationalError, pq
from psycopg.conninfo import make_conninfo

from controlplane.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.pq.abc import PGconn

logger = logging.getLogger(__name__)

#: Seconds a read waits for a free connection, and for how long after a failure the next ones do not even try.
WAIT = 1.0
Row = tuple[Any, ...]  # of bytes, as the statement selects them


class Turns:
    """Connections to be lent, to whoever has waited longest.

    A plain queue lends to whoever asks at the right moment, most often the thread that has just given one back; the
    others wait for many times as long as a read takes.
    """

    def __init__(self, size: int) -> None:
        self._free: deque[PGconn | None] = deque([None] * size)
        self._waiting: deque[SimpleQueue[PGconn | None]] = deque()
        self._mutex = threading.Lock()

    def get(self, timeout: float) -> PGconn | None:
        """A connection, or None for the leave to make one. Raises queue.Empty after `timeout` seconds."""
        with self._mutex:
            if self._free:
                return self._free.pop()
            turn: SimpleQueue[PGconn | None] = SimpleQueue()
            self._waiting.append(turn)
        try:
            return turn.get(timeout=timeout)
        except Empty:
            with self._mutex:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                    raise
            return turn.get_nowait()  # it came at the last moment

    def put(self, held: PGconn | None) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().put(held)
            else:
                self._free.append(held)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take_free(self) -> list[PGconn]:
        """The connections that nobody uses; leave to make new ones stays behind."""
        with self._mutex:
            free = [held for held in self._free if held is not None]
            self._free = deque([None] * len(self._free))
        return free


class Reader:
    """Runs prepared statements, from any thread. `statements`: name -> SQL with $1, $2, ..."""

    def __init__(self, conninfo: str, statements: Mapping[str, str], *, size: int) -> None:
        self._conninfo = conninfo
        self._statements = statements
        self._away_until = 0.0
        self._free = Turns(size)

    def rows(self, name: str, values: Sequence[bytes], *, binary: bool = False) -> list[Row]:
        """The rows of a prepared statement, as PostgreSQL writes them in text.

        binary: whether the values are given in its binary form. Raises Unavailable, within about WAIT seconds.
        """
        if time.monotonic() < self._away_until:
            raise _away()
        try:
            held = self._free.get(timeout=WAIT)
        except Empty:
            raise _away() from None
        used: PGconn | None = None
        try:
            used = held or self._connect()
            result = _execute(used, name, values, binary=binary)
            if result is None and held is not None:  # PostgreSQL was restarted since its last use
                used = self._connect()
                result = _execute(used, name, values, binary=binary)
        finally:
            self._free.put(used if used is not None and used.status == pq.ConnStatus.OK else None)
        if result is None:
            raise self._failed("no answer")
        return result

    def close(self) -> None:
        """Close the connections that are not in use; they are made again when needed."""
        for held in self._free.take_free():
            held.finish()

    def _connect(self) -> PGconn:
        fresh = pq.PGconn.connect(self._conninfo.encode())
        if fresh.status != pq.ConnStatus.OK:
            raise self._failed("no connection")
        for name, sql in self._statements.items():
            if fresh.prepare(name.encode(), sql.encode()).status != pq.ExecStatus.COMMAND_OK:
                raise self._failed(f"statement {name} was refused")
        return fresh

    def _failed(self, why: str) -> Unavailable:
        self._away_until = time.monotonic() + WAIT
        logger.warning("no status read", extra={"why": why})
        return _away()


def _execute(used: PGconn, name: str, values: Sequence[bytes], *, binary: bool) -> list[Row] | None:
    """None where the connection failed under it, or the statement did."""
    try:
        result = used.exec_prepared(name.encode(), values, [int(binary)] * len(values))
    except OperationalError:
        return None
    if result.status != pq.ExecStatus.TUPLES_OK:
        return None
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]


def _away() -> Unavailable:
    return Unavailable("The database does not answer at the moment; the pod's state has not changed by it.")


def reader(statements: tuple[tuple[str, str], ...]) -> Reader:
    """This process's reader; a child has its own, since a connection must not be shared across a fork."""
    return _reader(os.getpid(), str(connection.settings_dict["NAME"]), statements)


@cache
def _reader(pid: int, database: str, statements: tuple[tuple[str, str], ...]) -> Reader:
    options = "-c statement_timeout=5000 -c plan_cache_mode=force_generic_plan"
    return Reader(conninfo(options=options), dict(statements), size=settings.STATUS_POOL)


def conninfo(**parameters: str) -> str:
    """Django's database as libpq's connection string, for connections that give up soon."""
    given = connection.settings_dict
    where = {name: str(given[name.upper()]) for name in ("user", "password", "host", "port")}
    return make_conninfo(
        **{
            **{name: value for name, value in given["OPTIONS"].items() if isinstance(value, str)},
            **{name: value for name, value in where.items() if value},
            "dbname": str(given["NAME"]),
            "connect_timeout": "2",
            "tcp_user_timeout": "5000",
            **parameters,
        }
    )
