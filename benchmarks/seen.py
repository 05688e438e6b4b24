"""Table (a): the delay between a batch job's end and its kubelet seeing the end, with many pods per kubelet.

    python -m benchmarks.seen [--pods 200] [--start 20] [--seconds 60] [--local]

Web, worker and beat run as processes. The model kubelet polls its pods one by one and pauses 5 s between rounds; the
site is polled every 5 s. The site is the backends' Slurm over SSH if that is up, else (or with --local) this host. Each
pod sleeps `start` seconds, so that all run before the first one ends, and then a random time, so that the ends are
spread over `seconds`. A job ends when its container's outcome file is written.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING

import psycopg

from benchmarks.figures import Figure, tell
from benchmarks.sites import find_slurm, slurm_over_ssh, this_host
from benchmarks.whole import whole_stack
from tests.kubelet import Kubelet
from tests.pods import make_pod

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.sites import BenchmarkSite
    from benchmarks.whole import Whole
    from tests.kubelet_pod import Pod

INTERVAL = 5.0
MOST_MEDIAN, MOST_P99 = 6.0, 12.0
#: How many pods run on this host at a time.
SLOTS = 50
GIVE_UP_AFTER = 240.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how late a kubelet sees that its pods have ended.")
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--start", type=float, default=20, help="seconds that every pod runs")
    parser.add_argument("--seconds", type=float, default=60, help="seconds over which the pods' ends are spread")
    parser.add_argument("--local", action="store_true", help="run the pods on this host even if Slurm is up")
    asked = parser.parse_args()
    use_slurm = find_slurm() is not None and not asked.local

    def site_in(folder: Path) -> BenchmarkSite:
        return slurm_over_ssh(poll_interval=INTERVAL) if use_slurm else this_host(folder, slots=SLOTS)

    with whole_stack(site_in) as whole:
        print(f"{asked.pods} pods at {'Slurm over SSH' if use_slurm else 'this host'}")
        delays = _delays(whole, asked.pods, asked.start, asked.seconds)
        whole.site.tidy()
    return tell(_figure(delays, asked.pods))


def _delays(whole: Whole, count: int, start: float, spread: float) -> list[float]:
    """Return the seconds from each pod's end to its kubelet seeing it. Pods that were not seen in time are left out."""
    kubelet = Kubelet(whole.url, whole.token, poll_interval=INTERVAL)
    kubelet.run()
    chance = random.Random(count)  # the same pods in each run
    shells = [f"sleep {start + chance.uniform(0, spread):.2f}" for _ in range(count)]
    pods = [kubelet.create(make_pod(f"benchmark-{number}", shell)) for number, shell in enumerate(shells)]
    kubelet.settle()
    deadline = time.monotonic() + start + spread + GIVE_UP_AFTER
    while not all(pod.ended for pod in pods) and time.monotonic() < deadline:
        time.sleep(0.5)
    kubelet.stop()
    ends = _ends(whole, pods)
    to_wall_clock = time.time() - time.monotonic()
    return [pod.history[-1][0] + to_wall_clock - ends[pod.uid] for pod in pods if pod.phase == "Succeeded"]


def _ends(whole: Whole, pods: Iterable[Pod]) -> dict[str, float]:
    """Return each pod's end by UID, in epoch seconds: when the site wrote the container's outcome file."""
    with psycopg.connect(whole.stack.database_url) as database:
        rows = database.execute("SELECT pod_uid::text, folder FROM jobs_job WHERE folder <> ''").fetchall()
    folders: dict[str, str] = dict(rows)
    outcomes = {pod.uid: whole.site.home / folders[pod.uid] / "run" / "0" / "main.ended" for pod in pods}
    return {uid: outcome.stat().st_mtime for uid, outcome in outcomes.items() if outcome.exists()}


def _figure(delays: list[float], pods: int) -> Figure:
    middle = median(delays)
    slowest = quantiles(delays, n=100, method="inclusive")[98] if len(delays) > 1 else middle
    yardstick = INTERVAL + INTERVAL / 2
    return Figure(
        name="(a) a batch job's end to its kubelet seeing it",
        ours=f"{len(delays)} of {pods} seen, median {middle:.1f} s, p99 {slowest:.1f} s",
        yardstick=f"poll interval + 2.5 s = {yardstick:.1f} s",
        ratio=middle / yardstick,
        target=f"all seen, median <= {MOST_MEDIAN:.0f} s, p99 <= {MOST_P99:.0f} s",
        reached=len(delays) == pods and middle <= MOST_MEDIAN and slowest <= MOST_P99,
    )


if __name__ == "__main__":
    sys.exit(main())
