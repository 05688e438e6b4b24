"""Table (e): one poll of a site with 10,000 active jobs, beside a million ended jobs.

    python -m benchmarks.poll [--jobs 10000] [--ended 1000000] [--changed 500]

Prints calls to the site, statements, CPU seconds of this process and wall time: once when no job has changed, once when
some have. The site is in memory; its own CPU time is measured separately and printed too.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, tell
from deploy import embedded

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.models import Job
    from sites.connectors.memory.site import MemorySite
    from sites.models import Site

MOST_CPU = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Poll a site with many active jobs.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--changed", type=int, default=500)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="isthmus-benchmark-") as folder,
        embedded.start(Path(folder) / "services", durable=False) as running,
    ):
        _set_up(running.environment(), folder)
        return measure(asked.jobs, asked.ended, asked.changed)


def _set_up(environment: dict[str, str], folder: str) -> None:
    """Set the environment and migrate a database. Django is imported only afterwards, since it reads the settings."""
    os.environ |= environment | {
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "ISTHMUS_SECRET_KEY": secrets.token_urlsafe(48),
        "ISTHMUS_ENCRYPTION_KEYS": f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "ISTHMUS_LOG_ARCHIVE": f"{folder}/logs",
        "ISTHMUS_LOG_LEVEL": "WARNING",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


@dataclass(frozen=True)
class Cost:
    """wall, cpu: seconds, CPU of this process only; statements sent to PostgreSQL; calls made to the site."""

    wall: float
    cpu: float
    statements: int
    calls: int

    def __str__(self) -> str:
        return f"{self.calls} call, {self.statements:3d} statements, CPU {self.cpu:.2f} s, wall {self.wall:.2f} s"


def measure(jobs: int, ended: int, changed: int) -> int:
    """Print the cost of polls and the figure. Return the exit code."""
    from jobs.states import State
    from sites.connectors.memory.site import memory_site
    from tests.factories import make_job, make_node, make_site

    site, elsewhere = make_site(slug="vega", name="Vega", config={"name": "vega"}), make_site()
    node, memory = make_node(site=elsewhere)[0], memory_site("vega")
    pending = make_job(node=node, state=State.PENDING, reason="Resources", message="Waits for free nodes.")

    _queue(pending, site, memory, first=1, last=10)
    few = _poll(site, memory)
    _copy(make_job(node=node, state=State.SUCCEEDED), site, first=10**9, last=10**9 + ended - 1)
    _queue(pending, site, memory, first=11, last=jobs)
    _analyze()
    quiet = _poll(site, memory)
    for key in memory.keys()[:changed]:
        memory.finish(key)
    theirs = _site_alone(site)
    busy = _poll(site, memory)

    print(f"{'10 active jobs, nothing changed':55}{few}")
    print(f"{f'{jobs:,} active and {ended:,} ended, nothing changed':55}{quiet}")
    print(f"{f'{jobs:,} active, {changed:,} of them have ended':55}{busy}")
    print(f"{'of each, the site in memory':55}CPU {theirs:.2f} s")
    own = quiet.cpu - theirs
    return tell(
        Figure(
            name=f"(e) poll of {jobs:,} active jobs",
            ours=f"{quiet.calls} round trip, {quiet.statements} statements, {own:.2f} s of our CPU",
            yardstick=f"{few.statements} statements for 10 jobs",
            ratio=None,
            target=f"1 round trip, as many statements, < {MOST_CPU:.0f} s of our CPU",
            reached=quiet.calls == 1 and quiet.statements == few.statements and own < MOST_CPU,
        )
    )


def _queue(template: Job, site: Site, memory: MemorySite, *, first: int, last: int) -> None:
    """Create jobs with these numbers in our rows and in the site's queue, under the same names."""
    from sites.workload import Container, Workload

    _copy(template, site, first=first, last=last)
    for number in range(first, last + 1):
        memory.accept(Workload(_key(number), "", str(template), (Container("main", "busybox"),)))


def _key(number: int) -> str:
    return f"{number:040x}"


def _copy(template: Job, site: Site, *, first: int, last: int) -> None:
    """Let PostgreSQL copy a job: numbered copies, with their own names, at `site`."""
    from django.db import connection

    own = {
        "key": "'copy' || number",
        "attempt_key": "lpad(to_hex(number), 40, '0')",
        "native_id": "number::text",
        "pod_uid": "gen_random_uuid()",
        "site_id": str(site.pk),
    }
    columns = [str(field.column) for field in template._meta.concrete_fields if not field.primary_key]
    values = ", ".join(own.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO jobs_job ({names}) SELECT {values}"
            " FROM jobs_job AS template, generate_series(%s::bigint, %s::bigint) AS number WHERE template.id = %s",
            [first, last, template.pk],
        )


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_job")


def _poll(site: Site, memory: MemorySite) -> Cost:
    """Return the cost of one poll."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from jobs import tasks
    from sites.models import Site as Sites

    Sites.objects.filter(pk=site.pk).update(next_poll_at=timezone.now())
    memory.calls.clear()
    with CaptureQueriesContext(connection) as queries:
        wall, cpu = _timed(lambda: tasks.poll(site.pk))
    return Cost(wall, cpu, len(queries), len(memory.calls))


def _site_alone(site: Site) -> float:
    """Return the CPU seconds that the in-memory site itself takes in a poll."""
    from django.utils import timezone

    from jobs.worker import poll
    from sites.connections import connector_for
    from sites.workload import JobRef

    rows = poll.watched(site, now=timezone.now())
    refs = [JobRef(row.attempt_key, row.native_id, row.folder) for row in rows]
    return _timed(lambda: connector_for(site).poll(refs))[1]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - wall, time.process_time() - cpu


if __name__ == "__main__":
    sys.exit(main())
