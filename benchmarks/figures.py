"""How a benchmark reports its result: our figure, a yardstick from the same run, and whether ours is good enough."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: Exit code of a benchmark that ran but fell short. Any other exit code except 0 means that it failed to run.
FELL_SHORT = 3


@dataclass(frozen=True)
class Figure:
    """One figure. ours, yardstick: texts for people; ratio: ours divided by the yardstick, None without a yardstick."""

    name: str
    ours: str
    yardstick: str
    ratio: float | None
    target: str
    reached: bool

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f" | ratio {self.ratio:.2f}"
        verdict = "reached" if self.reached else "FALLS SHORT"
        return f"{self.name}: ours {self.ours} | yardstick {self.yardstick}{ratio} | target {self.target} | {verdict}"


def tell(*figures: Figure) -> int:
    """Print the figures and the machine's load. Return the exit code: FELL_SHORT if any figure falls short."""
    for figure in figures:
        print(figure)
    print(f"load averages of this machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return 0 if all(figure.reached for figure in figures) else FELL_SHORT
