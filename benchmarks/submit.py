"""Table (d): from /create to the native id on a real Slurm over SSH, with pods that stay in its queue.

    python -m benchmarks.submit [--pods 200] [--rounds 5]

Ours: web, worker and beat run as processes, eight clients create pods at once, and the clock runs from the first
request until the last native id is recorded. Yardstick: a loop over one open SSH connection that stages the same files
and calls sbatch, one job after the other (raw_loop.py); the figure with several jobs at a time is printed too. Rounds
alternate, and the ratio is the median of the rounds' ratios. Needs the backends (`make backends`).
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from benchmarks.figures import Figure, tell
from benchmarks.raw_loop import RawLoop
from benchmarks.sites import slurm_over_ssh
from benchmarks.whole import whole_stack
from benchmarks.wire import Clients
from tests.pods import make_pod

if TYPE_CHECKING:
    from benchmarks.sites import BenchmarkSite
    from benchmarks.whole import Whole

CLIENTS = 8
#: As many parallel sbatch calls as our connector makes by default.
AT_ONCE = 4
#: A partition that is down: sbatch accepts its jobs, and none of them starts.
CLOSED = "closed"
SHELL = "echo hello"
MUST = 0.8
WITHIN = 300.0


class Round(NamedTuple):
    """Jobs per second."""

    ours: float
    loop: float
    parallel_loop: float

    def __str__(self) -> str:
        return f"ours {self.ours:.0f}/s, loop {self.loop:.0f}/s, {AT_ONCE} at a time {self.parallel_loop:.0f}/s"


def main() -> int:
    parser = argparse.ArgumentParser(description="Submit pods to a real Slurm over SSH.")
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with whole_stack(lambda _: slurm_over_ssh(poll_interval=3600)) as whole:
        return _measure(whole, asked.pods, asked.rounds)


def _measure(whole: Whole, pods: int, rounds: int) -> int:
    clients = Clients(whole.url, whole.token, CLIENTS)
    loop = RawLoop(whole.site, shell=SHELL, partition=CLOSED)
    found: list[Round] = []
    with psycopg.connect(whole.stack.database_url, autocommit=True) as database:
        _round(clients, database, loop, whole.site, CLIENTS)  # warm up: connections open, modules load
        for number in range(1, rounds + 1):
            found.append(_round(clients, database, loop, whole.site, pods))
            print(f"round {number}: {found[-1]}")
    return tell(_figure(found))


def _round(clients: Clients, database: psycopg.Connection, loop: RawLoop, site: BenchmarkSite, pods: int) -> Round:
    seconds, native_ids = _ours(clients, database, pods)
    alone, ids_of_loop = loop.run(pods, at_once=1)
    together, ids_of_parallel = loop.run(pods, at_once=AT_ONCE)
    site.tidy(native_ids + ids_of_loop + ids_of_parallel)
    return Round(pods / seconds, pods / alone, pods / together)


def _ours(clients: Clients, database: psycopg.Connection, pods: int) -> tuple[float, list[str]]:
    """Return the seconds until the last of these pods has a native id, and the native ids."""
    annotations = {"slurm-job.vk.io/flags": f"--partition={CLOSED}"}
    sent = [make_pod(f"benchmark-{number}", SHELL, annotations=annotations) for number in range(pods)]
    uids = [pod["metadata"]["uid"] for pod in sent]
    began = time.monotonic()
    clients.create(sent)
    ask = "SELECT native_id FROM jobs_job WHERE pod_uid = ANY(%s::uuid[]) AND native_id <> ''"
    while len(found := database.execute(ask, [uids]).fetchall()) < pods:
        if time.monotonic() - began > WITHIN:
            raise TimeoutError(f"only {len(found)} of {pods} pods were submitted within {WITHIN:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - began, [native_id for (native_id,) in found]


def _figure(rounds: list[Round]) -> Figure:
    ratio = median(each.ours / each.loop for each in rounds)
    beside = median(each.ours / each.parallel_loop for each in rounds)
    ours, loop, parallel = (median(rates) for rates in zip(*rounds, strict=True))
    return Figure(
        name="(d) /create to native id over SSH",
        ours=f"{ours:.0f}/s",
        yardstick=f"a raw loop {loop:.0f}/s ({AT_ONCE} at a time {parallel:.0f}/s, of which ours is {beside:.0%})",
        ratio=ratio,
        target=f">= {MUST:.0%} of the yardstick",
        reached=ratio >= MUST,
    )


if __name__ == "__main__":
    sys.exit(main())
