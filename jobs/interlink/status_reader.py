"""The connections of /status: two a process, with their statements prepared, and quick to say that PostgreSQL is away.

One is for the pods that are asked after, of many requests together; nothing slower stands in their way on it. The other
is for the rest. Below psycopg's cursors and its pool, straight on its libpq wrapper: a cursor and a pool cost a poll
twice what PostgreSQL does, and nothing here needs what they give. Only single reads, outside of any transaction.
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
from jobs.interlink.coalesce import Together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.pq.abc import PGconn

logger = logging.getLogger(__name__)

#: Seconds a read waits for its turn, and for how long after a failure the next ones do not even try.
WAIT = 1.0
#: So many pods are read in one statement, which takes two or three milliseconds.
TOGETHER = 200
Row = tuple[Any, ...]  # of bytes, as the statement selects them


class Asked(NamedTuple):
    """A pod that is asked after, as PostgreSQL reads it. seen: a JSON list of names of containers."""

    node: bytes
    pod: bytes
    seen: bytes


class Statements(NamedTuple):
    """SQL with $1, $2, ... pods: from arrays of nodes and pods, and a JSON list of what is seen of each, one text a pod
    in their order, NULL where there is none. others: name -> statement, as pairs.
    """

    pods: str
    others: tuple[tuple[str, str], ...]


class Line:
    """One connection, for one thread at a time. `statements`: name -> SQL."""

    def __init__(self, conninfo: str, statements: Mapping[str, str]) -> None:
        self._conninfo = conninfo
        self._statements = statements
        self._held: PGconn | None = None
        self._process = 0  # whose connection it is

    def rows(self, name: str, values: Sequence[bytes], *, binary: bool = False) -> list[Row]:
        """The rows of a prepared statement, as PostgreSQL writes them in text. Raises OperationalError.

        binary: whether the values are given in its binary form.
        """
        if self._held is not None:
            try:
                return _execute(self._held, name, values, binary=binary)
            except OperationalError:  # PostgreSQL was restarted since its last use, or it fails again
                self.close()
        self._held = self._connect()
        try:
            return _execute(self._held, name, values, binary=binary)
        except OperationalError:
            self.close()
            raise

    def close(self) -> None:
        """It is opened again when it is needed. In a forked child it is the parent's: let go of, and not ended."""
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
    """Reads from any thread. Raises Unavailable where PostgreSQL is away: at once where that is known, within WAIT
    seconds while another one finds it out, and within the time-outs of `conninfo` for that one.
    """

    def __init__(self, conninfo: str, statements: Statements) -> None:
        self._away_until = 0.0
        self._pods = Line(conninfo, {"pods": statements.pods})
        self._others = Line(conninfo, dict(statements.others))
        self._one_at_a_time = threading.Lock()
        self._together = Together(self._read, most=TOGETHER)

    def texts(self, asked: Sequence[Asked]) -> Sequence[bytes | None]:
        """The text of each pod, None where there is none. Who asks after many lets others in between."""
        return [
            text
            for start in range(0, len(asked), TOGETHER)
            for text in self._texts_of_some(asked[start : start + TOGETHER])
        ]

    def _texts_of_some(self, asked: Sequence[Asked]) -> Sequence[bytes | None]:
        self._require_hope()
        try:
            texts = self._together.answers(asked, timeout=WAIT)
        except OperationalError as error:
            raise self._failed(error) from error
        except Empty:
            texts = None
        if texts is None:
            raise _away()
        return texts

    def rows(self, name: str, values: Sequence[bytes], *, binary: bool = False) -> list[Row]:
        """The rows of one of the other statements."""
        self._require_hope()
        if not self._one_at_a_time.acquire(timeout=WAIT):
            raise _away()
        try:
            return self._others.rows(name, values, binary=binary)
        except OperationalError as error:
            raise self._failed(error) from error
        finally:
            self._one_at_a_time.release()

    def close(self) -> None:
        """Close the connections, which nobody uses at the moment; they are made again when needed."""
        self._pods.close()
        self._others.close()

    def _read(self, asked: Sequence[Asked]) -> Sequence[bytes | None]:
        nodes, pods, seen = (b",".join(part) for part in zip(*asked, strict=True))
        return [text for (text,) in self._pods.rows("pods", (b"{%s}" % nodes, b"{%s}" % pods, b"[%s]" % seen))]

    def _require_hope(self) -> None:
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
