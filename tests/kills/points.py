"""Which kill happens when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.kills.gates import STEPS

if TYPE_CHECKING:
    import random

#: Steps that no program at the site reaches: those of our own transactions (moments.py).
ADMITTING, RECORDING = "admitting", "recording"
_ABOUT_TO = {**STEPS, ADMITTING: "insert the row", RECORDING: "commit what the site answered"}
#: What is killed, with its weight: the submit path matters most. `workers` means all of them.
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
#: Victims for which the step of a submission matters; for the others any moment will do.
_AT_STEPS = ("workers", "ssh", "postgres", "postgres-crash", "slurmctld")
#: Points that every run has: victim, step and pause in seconds. Recovery comes within about 10 s, and after 60 s no
#: longer assumes that a launch may succeed; a longer pause continues after that. `staging` leaves something for the
#: next point's `fencing`.
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
    """One kill.

    step: where in a submission it happens, "" for `after` seconds from the burst on. skip: the number of batch jobs
    that pass the step first. pause: seconds for which the site pauses there; then it continues, whatever has happened
    to us. away: seconds until the victim is started again. is_named: not drawn at random, so its step must be reached.
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
    """Return points that kill the workers at each step, and everything else between a pod and its batch job."""
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
        # From a pause that the site hardly notices to one that ends after recovery has finished.
        pause=1.0 if step == RECORDING else chance.choice([1.0, 4.0, 15.0]),
        after=chance.uniform(0, 0.3 if victim == "web" else 2.0),
        away=chance.choice([0.0, 0.5, 2.0]),
        pods=chance.randint(4, 8),
    )
