"""The two database connections of /status in each process, with prepared statements and a circuit breaker.

One reads the texts of pods, for many requests together, so that nothing slower delays them. The other is for all other
reads. They use psycopg's libpq wrapper without its cursors and pool, which would cost a poll twice as much as
PostgreSQL does. They only run single reads, outside of transactions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import cache
from queue import Empty
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection
from psycopg import OperationalError, pq
from psycopg.conninfo import make_conninfo

from controlplane.errors import Unavailable
from jobs.interlink.coalesce import Coalescer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.pq.abc import PGconn

logger = logging.getLogger(__name__)

#: Seconds for which a read waits for its turn, and for which the breaker stays open after a failure.
WAIT = 1.0
#: The most pods in one statement, which then takes two or three milliseconds.
TOGETHER = 200
Row = tuple[Any, ...]  # the columns, as bytes


class PodKey(NamedTuple):
    """A pod of a /status request, as PostgreSQL reads it. seen: a JSON list of the container names seen so far."""

    node: bytes
    pod: bytes
    seen: bytes


class Statements(NamedTuple):
    """The SQL statements, with $1, $2, ... as parameters.

    pods: takes an array of nodes, an array of pods and a JSON list of `seen`; gives one text for each pod in the same
    order, NULL where there is none. others: pairs of a name and a statement.
    """

    pods: str
    others: tuple[tuple[str, str], ...]


class Line:
    """One connection, for one thread at a time. statements: name -> SQL."""

    def __init__(self, conninfo: str, statements: Mapping[str, str]) -> None:
        self._conninfo = conninfo
        self._statements = statements
        self._held: PGconn | None = None
        self._process = 0  # the process that opened the connection

    def rows(self, name: str, values: Sequence[bytes], *, binary: bool = False) -> list[Row]:
        """The rows of a prepared statement, in PostgreSQL's text format. Raises OperationalError.

        binary: whether `values` are in PostgreSQL's binary format.
        """
        if self._held is not None:
            try:
                return _execute(self._held, name, values, binary=binary)
            except OperationalError:  # PostgreSQL may have restarted since the last use: try a new connection
                self.close()
        self._held = self._connect()
        try:
            return _execute(self._held, name, values, binary=binary)
        except OperationalError:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connection; the next read opens a new one. A forked child only forgets its parent's connection."""
        if self._held is not None and self._process == os.getpid():
            self._held.finish()
        self._held = None

    def _connect(self) -> PGconn:
        fresh = pq.PGconn.connect(self._conninfo.encode())
        if fresh.status != pq.ConnStatus.OK:
            raise OperationalError("no connection")
        for name, sql in self._statements.items():
            if fresh.prepare(name.encode(), sql.encode()).status != pq.ExecStatus.COMMAND_OK:
                fresh.finish()
                raise OperationalError(f"the statement {name} was refused")
        self._process = os.getpid()
        return fresh


class Reader:
    """Reads for all threads. Its methods raise Unavailable where PostgreSQL is away.

    They raise at once while the breaker is open, within WAIT seconds while another thread waits for PostgreSQL, and
    within the time-outs of `conninfo` in that thread.
    """

    def __init__(self, conninfo: str, statements: Statements) -> None:
        self._away_until = 0.0
        self._pods = Line(conninfo, {"pods": statements.pods})
        self._others = Line(conninfo, dict(statements.others))
        self._turn = threading.Lock()
        self._coalescer = Coalescer(self._read_pods, most=TOGETHER)

    def texts(self, pods: Sequence[PodKey]) -> Sequence[bytes | None]:
        """The text of each pod, None where there is none. Reads many pods in parts, to give other requests a turn."""
        return [
            text
            for start in range(0, len(pods), TOGETHER)
            for text in self._texts_of_some(pods[start : start + TOGETHER])
        ]

    def _texts_of_some(self, pods: Sequence[PodKey]) -> Sequence[bytes | None]:
        self._fail_fast_if_down()
        try:
            texts = self._coalescer.results(pods, timeout=WAIT)
        except OperationalError as error:
            raise self._failed(error) from error
        except Empty:
            texts = None
        if texts is None:
            raise _away()
        return texts

    def rows(self, name: str, values: Sequence[bytes], *, binary: bool = False) -> list[Row]:
        """The rows of one of the other statements. For `binary` see `Line.rows`."""
        self._fail_fast_if_down()
        if not self._turn.acquire(timeout=WAIT):
            raise _away()
        try:
            return self._others.rows(name, values, binary=binary)
        except OperationalError as error:
            raise self._failed(error) from error
        finally:
            self._turn.release()

    def close(self) -> None:
        """Closes the connections, which no thread may be using; the next read opens new ones."""
        self._pods.close()
        self._others.close()

    def _read_pods(self, pods: Sequence[PodKey]) -> Sequence[bytes | None]:
        nodes, uids, seen = (b",".join(part) for part in zip(*pods, strict=True))
        return [text for (text,) in self._pods.rows("pods", (b"{%s}" % nodes, b"{%s}" % uids, b"[%s]" % seen))]

    def _fail_fast_if_down(self) -> None:
        if time.monotonic() < self._away_until:
            raise _away()

    def _failed(self, error: OperationalError) -> Unavailable:
        self._away_until = time.monotonic() + WAIT
        logger.warning("no status read", extra={"why": str(error)})
        return _away()


def _execute(used: PGconn, name: str, values: Sequence[bytes], *, binary: bool) -> list[Row]:
    result = used.exec_prepared(name.encode(), values, [int(binary)] * len(values))
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise OperationalError("no answer")
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]


def _away() -> Unavailable:
    return Unavailable("The database does not answer at the moment; the pod's state has not changed by it.")


@cache
def reader(statements: Statements) -> Reader:
    """This process's reader."""
    return Reader(conninfo(options="-c statement_timeout=5000 -c plan_cache_mode=force_generic_plan"), statements)


def conninfo(**parameters: str) -> str:
    """The connection string of Django's database for libpq, with short time-outs."""
    database = connection.settings_dict
    where = {name: str(database[name.upper()]) for name in ("user", "password", "host", "port")}
    return make_conninfo(
        **{
            **{name: value for name, value in database["OPTIONS"].items() if isinstance(value, str)},
            **{name: value for name, value in where.items() if value},
            "dbname": str(database["NAME"]),
            "connect_timeout": "2",
            "tcp_user_timeout": "5000",
            **parameters,
        }
    )
