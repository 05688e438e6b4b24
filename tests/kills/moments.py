"""Waiting for the moment of a kill: a time after the burst, a step at the site (gates.py), or a step at PostgreSQL.

Each context manager is entered before the burst and left after the kill. It yields a function that waits for the moment
and returns whether it has come.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg

from tests.kills.points import ADMITTING, RECORDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kills.gates import Gates
    from tests.kills.points import Point

    Moment = Iterator[Callable[[], bool]]

#: A submission reaches its step within this time, unless an earlier kill prevents that (the site is still silent, say).
WITHIN = 12.0


@contextmanager
def moment_of(point: Point, gates: Gates, database_url: str) -> Moment:
    if point.step == ADMITTING:
        chosen = _admitting(database_url)
    elif point.step == RECORDING:
        chosen = _recording(point, gates, database_url)
    else:
        chosen = _at_the_gate(point.step, point, gates) if point.step else _after(point.after)
    with chosen as come:
        yield come


@contextmanager
def _after(seconds: float) -> Moment:
    def come() -> bool:
        time.sleep(seconds)
        return True

    yield come


@contextmanager
def _at_the_gate(step: str, point: Point, gates: Gates) -> Moment:
    gates.arm(step, skip=point.skip, seconds=point.pause)
    yield lambda: gates.reached(within=WITHIN)
    gates.disarm()


@contextmanager
def _recording(point: Point, gates: Gates, database_url: str) -> Moment:
    """Pause the worker between the site's answer and its commit, by locking the jobs that are being submitted."""
    with closing(psycopg.connect(database_url)) as connection, _at_the_gate("answering", point, gates) as answering:

        def come() -> bool:
            if not answering():
                return False
            gates.disarm()
            connection.execute("SELECT FROM jobs_job WHERE state = 'submitting' FOR UPDATE")
            return _somebody_waits_for(connection, within=point.pause + WITHIN)

        yield come


@contextmanager
def _admitting(database_url: str) -> Moment:
    """Pause the web process between receiving the pod and inserting its row."""
    with closing(psycopg.connect(database_url)) as connection:
        connection.execute("LOCK TABLE jobs_transition IN SHARE MODE")
        yield lambda: _somebody_waits_for(connection, within=WITHIN)


def _somebody_waits_for(connection: psycopg.Connection[tuple[object, ...]], *, within: float) -> bool:
    """Wait until another session waits for a lock of this connection."""
    blocked = "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if connection.execute(blocked).fetchone() is not None:
            return True
        time.sleep(0.02)
    return False
