"""Table (f): memory of the whole idle stack, PostgreSQL and Valkey included.

    python -m benchmarks.memory [--pods 3] [--rest 10]

Web, worker and beat run as `make demo` starts them, with their default settings. A few pods run first, so that every
module is loaded. The unit is PSS: memory that processes share is divided among them and counted once.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from benchmarks.figures import Figure, tell
from benchmarks.sites import this_host
from benchmarks.whole import whole_stack
from tests.kubelet import Kubelet
from tests.pods import make_pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.whole import Whole

MEGABYTE = 1_000_000
MOST = 500


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the memory of the whole idle stack.")
    parser.add_argument("--pods", type=int, default=3, help="pods that run first")
    parser.add_argument("--rest", type=float, default=10, help="idle seconds before the measurement")
    asked = parser.parse_args()
    with whole_stack(lambda folder: this_host(folder, slots=4)) as whole:
        _exercise(whole, asked.pods)
        time.sleep(asked.rest)
        weights = {name: _weight(pid) for name, pid in whole.stack.pids().items()}
    for name, (weight, count) in weights.items():
        print(f"{name:<10}{weight:>7.1f} MB in {count} processes")
    total = sum(weight for weight, _ in weights.values())
    return tell(
        Figure("(f) memory of the whole stack", f"{total:.0f} MB", "none", None, f"<= {MOST} MB idle", total <= MOST)
    )


def _exercise(whole: Whole, pods: int) -> None:
    """Run pods and read their logs."""
    kubelet = Kubelet(whole.url, whole.token, poll_interval=1)
    kubelet.run()
    for pod in [kubelet.create(make_pod(f"benchmark-{number}")) for number in range(pods)]:
        kubelet.wait(pod.uid)
        kubelet.logs(pod.uid, "main")
    kubelet.stop()


def _weight(pid: int) -> tuple[float, int]:
    """Return the megabytes of a process with its descendants, and the number of these processes."""
    shares = list(_shares(psutil.Process(pid)))
    return sum(shares) / MEGABYTE, len(shares)


def _shares(root: psutil.Process) -> Iterator[int]:
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's own children come and go
            yield process.memory_full_info().pss


if __name__ == "__main__":
    sys.exit(main())
