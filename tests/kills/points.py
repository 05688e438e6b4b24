"""Which blow falls when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.kills.gates import STEPS

if TYPE_CHECKING:
    import random

#: Between the site's answer and our commit: no gate at the site is there, so the rows are held instead (strikes.py).
RECORDING = "recording"
#: Whom a blow meets, with its weight: the submit path is what this is about.
VICTIMS = {"worker": 8, "ssh": 4, "postgres": 3, "slurmctld": 3, "web": 3, "redis": 2}
#: Those whose end matters at a step of a submission; for the others any moment is like another.
_AT_STEPS = ("worker", "ssh", "postgres", "slurmctld")


@dataclass(frozen=True)
class Point:
    """One blow.

    step: where in a submission it falls, empty for `after` seconds from the burst on; skip: how many batch jobs pass
    that step before; pause: seconds for which the site stands still there, and then goes on whatever has become of
    us; away: seconds until the victim is started again. is_named: not drawn, so that its step must be met.
    """

    number: int
    victim: str
    step: str
    skip: int
    pause: float
    after: float
    away: float
    pods: int
    is_named: bool = False

    def __str__(self) -> str:
        when = f"while about to {STEPS.get(self.step, 'commit')}" if self.step else f"after {self.after:.2f} s"
        return f"point {self.number} ({self.victim} {when})"


def every_step(chance: random.Random) -> list[Point]:
    """The worker killed at each step, recovery's own included; and a connection cut within a batch."""
    worker = ["unpacking", "staged", "fencing", "submitting", "submitted", "answering", RECORDING]
    where = [("worker", step) for step in worker] + [("ssh", "submitting"), ("ssh", "submitted")]
    return [replace(_point(number, victim, step, chance), is_named=True) for number, (victim, step) in enumerate(where)]


def at_random(count: int, chance: random.Random) -> list[Point]:
    points = []
    for number in range(100, 100 + count):
        (victim,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
        at_step = victim in _AT_STEPS and chance.random() < 0.6
        step = chance.choice([*STEPS, RECORDING]) if at_step else ""
        points.append(_point(number, victim, step, chance))
    return points


def _point(number: int, victim: str, step: str, chance: random.Random) -> Point:
    skip = chance.randrange(3) if step in {"submitting", "submitted"} else 0
    return Point(
        number,
        victim,
        step,
        skip=skip,
        # From a blow that the site hardly notices to one after which it goes on when recovery has been there.
        pause=chance.choice([1.0, 3.0, 8.0]),
        after=chance.uniform(0, 0.3 if victim == "web" else 2.0),
        away=chance.choice([0.0, 0.5, 2.0]),
        pods=chance.randint(4, 8),
    )
