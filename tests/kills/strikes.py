"""Carrying out a point: a burst of pods, the blow, and the victim's return."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from tests.backends import control
from tests.kills.points import RECORDING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.backends.control import Backends
    from tests.kills.gates import Gates
    from tests.kills.load import Load
    from tests.kills.points import Point
    from tests.kills.stack import Stack

#: A submission comes to its step within this time, or another blow keeps it from it (a silent site, say).
_STEP_WITHIN = 12.0
_HELD_WITHIN = 5.0


@dataclass
class Strikes:
    """missed: the points whose step did not come in time; the blow fell nevertheless."""

    stack: Stack
    gates: Gates
    load: Load
    backends: Backends
    missed: list[Point] = field(default_factory=list)

    def carry_out(self, point: Point, chance: random.Random) -> None:
        """Everything is up again at the end; what the blow left in doubt is not settled yet."""
        if point.step:
            self.gates.arm(_gate(point), skip=point.skip, seconds=point.pause)
        self.load.burst(point.pods, during=str(point), chance=chance)
        with self._at_its_moment(point):
            self._strike(point.victim)
        time.sleep(point.away)
        self._bring_back(point.victim)
        self.load.settle()

    @contextmanager
    def _at_its_moment(self, point: Point) -> Iterator[None]:
        if not point.step:
            time.sleep(point.after)
            yield
            return
        if not self.gates.reached(within=_STEP_WITHIN):
            self.missed.append(point)
        if point.step != RECORDING:
            yield
            self.gates.disarm()
            return
        self.gates.disarm()
        with self._commits_held(point):
            yield

    @contextmanager
    def _commits_held(self, point: Point) -> Iterator[None]:
        """Lock the rows of what is being submitted, and wait until the worker stands before that lock."""
        with psycopg.connect(self.stack.database_url) as connection:
            connection.execute("SELECT FROM jobs_job WHERE state = 'submitting' FOR UPDATE")
            deadline = time.monotonic() + point.pause + _HELD_WITHIN
            while not _worker_waits(connection):
                if time.monotonic() > deadline:
                    self.missed.append(point)
                    break
                time.sleep(0.02)
            yield
            if point.victim == "postgres":
                connection.close()  # it has gone already; there is nothing to roll back

    def _strike(self, victim: str) -> None:
        match victim:
            case "redis":
                self.stack.redis.kill()
            case "postgres":
                self.stack.postgres.stop()
            case "slurmctld":
                control.stop_slurmctld(self.backends)
            case "ssh":
                control.cut_ssh_sessions(self.backends)
            case process:
                self.stack.kill(process)

    def _bring_back(self, victim: str) -> None:
        match victim:
            case "redis":
                self.stack.redis.start()
            case "postgres":
                self.stack.postgres.start()
            case "slurmctld":
                control.start_slurmctld(self.backends)
            case "ssh":
                pass  # new connections are welcome
            case process:
                self.stack.start(process)
                self.stack.wait_until_up()


def _gate(point: Point) -> str:
    """No program at the site comes by when we commit; the last before that is the one that hands over the answer."""
    return "answering" if point.step == RECORDING else point.step


def _worker_waits(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether somebody waits for our transaction to end."""
    waiting = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
    return connection.execute(waiting).fetchone() is not None
