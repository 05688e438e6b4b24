"""How a benchmark tells its result: ours beside a yardstick measured in the same run, and whether that is enough."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: Exit code of a benchmark that ran well and fell short; anything else but 0 means that it did not run well.
FELL_SHORT = 3


@dataclass(frozen=True)
class Figure:
    """One figure. ours, yardstick: as people read them; ratio: ours to the yardstick, None where there is none."""

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
    """Print them with the machine's load beside; the exit code: FELL_SHORT when one does."""
    for figure in figures:
        print(figure)
    print(f"load averages of this machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return 0 if all(figure.reached for figure in figures) else FELL_SHORT
