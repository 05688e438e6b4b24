"""Which blow falls when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.kills.gates import STEPS

if TYPE_CHECKING:
    import random

#: Steps that no program at the site comes by: those of our own transactions (moments.py).
ADMITTING, RECORDING = "admitting", "recording"
_ABOUT_TO = {**STEPS, ADMITTING: "insert the row", RECORDING: "commit what the site answered"}
#: Whom a blow meets, with its weight: the submit path is what this is about. `workers` are all of them.
VICTIMS = {
    "workers": 6,
    "worker": 2,
    "ssh": 4,
    "postgres": 3,
    "postgres-crash": 1,
    "slurmctld": 3,
    "web": 3,
    "redis": 2,
}
#: Those whose end matters at a step of a submission; for the others any moment is like another.
_AT_STEPS = ("workers", "ssh", "postgres", "postgres-crash", "slurmctld")
#: One of each that must be met: victim, step and pause. Recovery comes within some 10 seconds, and no longer believes
#: in a launch after 60; what pauses longer goes on after it. Staging leaves something for the next point's fencing.
_NAMED = (
    ("workers", "launching", 75),
    ("workers", "unpacking", 20),
    ("workers", "staged", 20),
    ("workers", "fencing", 3),
    ("workers", "submitting", 20),
    ("workers", "submitted", 20),
    ("workers", "answering", 1),
    ("workers", RECORDING, 1),
    ("web", ADMITTING, 1),
    ("ssh", "submitting", 1),
    ("ssh", "submitted", 1),
    ("postgres", RECORDING, 1),
)


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
        when = f"while about to {_ABOUT_TO[self.step]}" if self.step else f"{self.after:.2f} s after the burst"
        return f"point {self.number} ({self.victim} {when})"


def every_step(chance: random.Random) -> list[Point]:
    """The workers killed at each step, and what else stands between a pod and its batch job."""
    return [
        replace(_point(number, victim, step, chance), pause=pause, is_named=True)
        for number, (victim, step, pause) in enumerate(_NAMED)
    ]


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
        pause=1.0 if step == RECORDING else chance.choice([1.0, 4.0, 15.0]),
        after=chance.uniform(0, 0.3 if victim == "web" else 2.0),
        away=chance.choice([0.0, 0.5, 2.0]),
        pods=chance.randint(4, 8),
    )
