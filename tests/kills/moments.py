"""Waiting for the moment of a blow: some time after the burst, a step at the site (gates.py), or one at PostgreSQL.

Each of these is entered before the burst and left after the blow; inside, what it yields waits until the moment has
come, and tells whether it has.
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

#: A submission comes to its step within this time, or an earlier blow keeps it from it (a site still silent, say).
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
    """The site has answered, and the worker stands before the commit: what is being submitted is locked meanwhile."""
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
    """The web process has the pod and cannot insert its row yet."""
    with closing(psycopg.connect(database_url)) as connection:
        connection.execute("LOCK TABLE jobs_transition IN SHARE MODE")
        yield lambda: _somebody_waits_for(connection, within=WITHIN)


def _somebody_waits_for(connection: psycopg.Connection[tuple[object, ...]], *, within: float) -> bool:
    """Wait until another session stands before what this one has locked."""
    blocked = "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if connection.execute(blocked).fetchone() is not None:
            return True
        time.sleep(0.02)
    return False
