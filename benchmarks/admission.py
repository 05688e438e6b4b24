"""Table (g): 1,000 creates from 20 tenants in parallel with limits, beside the same creates without limits.

    python -m benchmarks.admission [--pods 1000] [--tenants 20] [--rounds 3]

Web, worker and beat run as processes; the site is in the worker's memory and costs almost nothing. The clock runs from
the first request until every pod is started or held with a reason. With limits, four of five pods fit. Rounds with and
without limits alternate. Meanwhile a thread samples counters and rows: they must agree, and no limit may be exceeded at
any time.
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
#: Of five pods of a tenant, this many fit.
FIT = 0.8
HOURS = 2

_UNLIMITED = """
    UPDATE hpc_sites_allocation SET pods = NULL, cpus = NULL, memory = NULL, gpus = '{}', cpu_hours = NULL,
        gpu_hours = NULL, used_pods = 0, used_cpus = 0, used_memory = 0, used_gpus = '{}', reserved_cpu_seconds = 0,
        reserved_gpu_seconds = 0, spent_cpu_seconds = 0, spent_gpu_seconds = 0, next_start_at = NULL
"""
# All limits are equally tight, so the same pods fit whichever limit is checked.
_LIMITED = """
    UPDATE hpc_sites_allocation SET pods = %(fit)s, cpus = 2 * %(fit)s, memory = 1073741824 * %(fit)s::bigint,
        gpus = jsonb_build_object('', %(fit)s::int, 'a100', %(fit)s::int), cpu_hours = 2 * %(hours)s * %(fit)s,
        gpu_hours = %(hours)s * %(fit)s
"""
_DONE = """
    SELECT count(*) FILTER (WHERE state <> 'held'), count(*) FILTER (WHERE state = 'held' AND reason = 'QuotaExceeded')
    FROM jobs_job
"""
# One statement reads the counters, the rows and the limits, so that all three come from the same moment.
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
    """Compares counters and rows repeatedly, in its own thread."""

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
    parser = argparse.ArgumentParser(
        description="Measure the admission of creates with limits, beside the same without limits."
    )
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
    _round(clients, url, 2, fit=None)  # warm up: connections open, modules load
    with Watch(url) as watch:
        pairs: list[tuple[float, float]] = []
        for number in range(1, rounds + 1):
            limited, free = _round(clients, url, each, fit=int(each * FIT)), _round(clients, url, each, fit=None)
            pairs.append((limited, free))
            print(f"round {number}: with limits {limited:.0f}/s, without {free:.0f}/s")
    print(f"{watch.samples} samples of counters and rows, {watch.wrong} of them wrong or over a limit")
    return tell(_figure(pairs, each * tenants, tenants, watch))


def _round(clients: list[Clients], url: str, each: int, *, fit: int | None) -> float:
    """Return creates per second, until each pod is started or held. fit: how many pods of each tenant may start."""
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
                raise SystemExit(f"After {WITHIN:.0f} s, (started, held) is {found} instead of {expected}.")
            time.sleep(0.02)
        took = time.monotonic() - began
        _let_submissions_end(database)
    return len(clients) * each / took


def _let_submissions_end(database: psycopg.Connection) -> None:
    """Wait until no worker uses the rows that the next round deletes."""
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
