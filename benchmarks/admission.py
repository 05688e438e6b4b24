"""Table (g): 1,000 creates from 20 tenants in parallel with limits, beside the same creates without limits.

    python -m benchmarks.admission [--pods 1000] [--tenants 20] [--rounds 3]

Web, worker and beat as processes, and a site in the worker's memory, which costs next to nothing. The clock runs from
the first request until every pod is started, or held with a reason: with limits four of five fit. Rounds take turns.
Meanwhile counters and rows are sampled: nothing may be over any limit at any time, and both must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psycopg

from benchmarks.figures import Figure, tell
from benchmarks.sites import BenchmarkSite
from benchmarks.whole import whole_stack
from benchmarks.wire import Clients
from tests.pods import make_pod

if TYPE_CHECKING:
    from benchmarks.whole import Whole

MUST = 0.7
WITHIN = 300.0
SAMPLES_EVERY = 0.05
#: Of five pods of a tenant so many fit.
FIT = 0.8
HOURS = 2

_UNLIMITED = """
    UPDATE hpc_sites_allocation SET pods = NULL, cpus = NULL, memory = NULL, gpus = '{}', cpu_hours = NULL,
        gpu_hours = NULL, used_pods = 0, used_cpus = 0, used_memory = 0, used_gpus = '{}', reserved_cpu_seconds = 0,
        reserved_gpu_seconds = 0, spent_cpu_seconds = 0, spent_gpu_seconds = 0, next_start_at = NULL
"""
# Each is as tight as the next: whichever is looked at, the same pods fit.
_LIMITED = """
    UPDATE hpc_sites_allocation SET pods = %(fit)s, cpus = 2 * %(fit)s, memory = 1073741824 * %(fit)s::bigint,
        gpus = jsonb_build_object('', %(fit)s::int, 'a100', %(fit)s::int), cpu_hours = 2 * %(hours)s * %(fit)s,
        gpu_hours = %(hours)s * %(fit)s
"""
_DONE = """
    SELECT count(*) FILTER (WHERE state <> 'held'), count(*) FILTER (WHERE state = 'held' AND reason = 'QuotaExceeded')
    FROM jobs_job
"""
# One statement, and so one moment: what the counters say, what the rows say, what is allowed.
_WRONG = """
    SELECT count(*) FROM hpc_sites_allocation AS allocation
    LEFT JOIN (SELECT allocation_id, count(*) AS pods, sum(cpus) AS cpus, sum(memory) AS memory, sum(gpus) AS gpus,
                      sum(reserved_cpu_seconds) AS cpu_seconds, sum(reserved_gpu_seconds) AS gpu_seconds
               FROM jobs_job WHERE is_counted GROUP BY allocation_id) AS held ON held.allocation_id = allocation.id
    WHERE used_pods <> coalesce(held.pods, 0) OR used_cpus <> coalesce(held.cpus, 0)
       OR used_memory <> coalesce(held.memory, 0) OR coalesce((used_gpus->>'')::int, 0) <> coalesce(held.gpus, 0)
       OR reserved_cpu_seconds <> coalesce(held.cpu_seconds, 0) OR reserved_gpu_seconds <> coalesce(held.gpu_seconds, 0)
       OR used_pods > allocation.pods OR used_cpus > allocation.cpus OR used_memory > allocation.memory
       OR (used_gpus->>'')::int > (allocation.gpus->>'')::int
       OR (used_gpus->>'a100')::int > (allocation.gpus->>'a100')::int
       OR reserved_cpu_seconds + spent_cpu_seconds > 3600 * cpu_hours
       OR reserved_gpu_seconds + spent_gpu_seconds > 3600 * gpu_hours
"""


@dataclass
class Watch:
    """Looks at counters and rows, again and again, in a thread of its own."""

    url: str
    samples: int = 0
    wrong: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as database:
            while not self._ended.wait(SAMPLES_EVERY):
                (wrong,) = database.execute(_WRONG).fetchone() or (1,)
                self.samples += 1
                self.wrong += wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the admission of creates with limits, beside none.")
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with whole_stack(lambda folder: BenchmarkSite("memory", {"name": "vega"}, Path(folder), poll_interval=3600)) as it:
        return _measure(it, asked.pods // asked.tenants, asked.tenants, asked.rounds)


def _measure(whole: Whole, each: int, tenants: int, rounds: int) -> int:
    nodes = json.loads(whole.stack.manage("-m", "benchmarks.tenants", given=tenants))
    clients = [Clients(f"{whole.stack.url}/vk/{node['slug']}", node["token"], 1) for node in nodes]
    url = whole.stack.database_url
    _round(clients, url, 2, fit=None)  # connections are made, programs are read
    with Watch(url) as watch:
        pairs: list[tuple[float, float]] = []
        for number in range(1, rounds + 1):
            limited, free = _round(clients, url, each, fit=int(each * FIT)), _round(clients, url, each, fit=None)
            pairs.append((limited, free))
            print(f"round {number}: with limits {limited:.0f}/s, without {free:.0f}/s")
    print(f"{watch.samples} samples of counters and rows, {watch.wrong} of them wrong or over a limit")
    return tell(_figure(pairs, each * tenants, tenants, watch))


def _round(clients: list[Clients], url: str, each: int, *, fit: int | None) -> float:
    """Creates a second, until each is started or held with its reason. fit: how many of each tenant's may start."""
    pods = [[_pod(number) for number in range(each)] for _ in clients]
    with psycopg.connect(url, autocommit=True) as database:
        with database.transaction():
            database.execute("TRUNCATE jobs_job CASCADE")
            database.execute(_UNLIMITED)
            if fit is not None:
                database.execute(_LIMITED, {"fit": fit, "hours": HOURS})
        began = time.monotonic()
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(Clients.create, clients, pods))
        expected = (len(clients) * (each if fit is None else fit), 0 if fit is None else len(clients) * (each - fit))
        while (found := database.execute(_DONE).fetchone()) != expected:
            if time.monotonic() - began > WITHIN:
                raise SystemExit(f"Started and held are {found} after {WITHIN:.0f} s, and should be {expected}.")
            time.sleep(0.02)
        took = time.monotonic() - began
        _let_submissions_end(database)
    return len(clients) * each / took


def _let_submissions_end(database: psycopg.Connection) -> None:
    """So that no worker is at work on rows that the next round takes away."""
    while (database.execute("SELECT count(*) FROM jobs_job WHERE state IN ('queued', 'submitting')").fetchone()) != (
        0,
    ):
        time.sleep(0.05)


def _pod(number: int) -> dict[str, object]:
    annotations = {"slurm-job.vk.io/flags": f"--time={HOURS}:00:00 --mem=1G --cpus-per-task=2 --gres=gpu:a100:1"}
    return make_pod(f"benchmark-{number}", annotations=annotations)


def _figure(pairs: list[tuple[float, float]], pods: int, tenants: int, watch: Watch) -> Figure:
    ratio = median(limited / free for limited, free in pairs)
    limited, free = (median(rates) for rates in zip(*pairs, strict=True))
    return Figure(
        name=f"(g) {pods:,} creates of {tenants} tenants, until started or held",
        ours=f"{limited:.0f}/s with limits, {watch.wrong} of {watch.samples} samples over one",
        yardstick=f"{free:.0f}/s without limits",
        ratio=ratio,
        target=f">= {MUST:.0%} of the yardstick, never over a limit",
        reached=ratio >= MUST and watch.wrong == 0 and watch.samples > 0,
    )


if __name__ == "__main__":
    sys.exit(main())
