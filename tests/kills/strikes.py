"""Carrying out a point: a burst of pods, the kill, and the victim's restart."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.backends import control
from tests.kills.moments import moment_of

if TYPE_CHECKING:
    import random

    from tests.backends.control import Backends
    from tests.kills.gates import Gates
    from tests.kills.load import Load
    from tests.kills.points import Point
    from tests.kills.stack import Stack

#: Two workers, so that one takes over from the other, and both run when PostgreSQL has dropped their locks.
WORKERS = ("worker", "worker-2")


@dataclass
class Strikes:
    """What the points so far have left.

    missed: points whose moment did not come in time (the kill happened anyway). late_until: the monotonic time until
    which something at the site may still pause at a gate and continue late after that.
    """

    stack: Stack
    gates: Gates
    load: Load
    backends: Backends
    missed: list[Point] = field(default_factory=list)
    late_until: float = 0.0

    def carry_out(self, point: Point, chance: random.Random) -> None:
        """Carry out one point. Everything runs again at the end; what the kill left in doubt is not settled yet."""
        with moment_of(point, self.gates, self.stack.database_url) as come:
            self.load.burst(point.pods, during=str(point), chance=chance)
            if not come():
                self.missed.append(point)
            self._strike(point.victim)
        self.late_until = max(self.late_until, time.monotonic() + point.pause)
        time.sleep(point.away)
        self._bring_back(point.victim)
        self.stack.wait_until_up()
        self.load.settle()

    def _strike(self, victim: str) -> None:
        match victim:
            case "workers":
                for worker in WORKERS:
                    self.stack.kill(worker)
            case "redis":
                self.stack.redis.kill()
            case "postgres":
                self.stack.postgres.stop()
            case "postgres-crash":
                self.stack.postgres.kill()
            case "slurmctld":
                control.stop_slurmctld(self.backends)
            case "ssh":
                control.cut_ssh_sessions(self.backends)
            case process:
                self.stack.kill(process)

    def _bring_back(self, victim: str) -> None:
        match victim:
            case "workers":
                for worker in WORKERS:
                    self.stack.start(worker)
            case "redis":
                self.stack.redis.start()
            case "postgres" | "postgres-crash":
                self.stack.postgres.start()
            case "slurmctld":
                control.start_slurmctld(self.backends)
            case "ssh":
                pass  # new connections are accepted again
            case process:
                self.stack.start(process)
