"""What is left after a run: our rows, Slurm's batch jobs, the pods' own traces, and the kubelet's view."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from tests.backends import control

if TYPE_CHECKING:
    from pathlib import Path

    from tests.backends.control import Backends
    from tests.kills.load import Load, Sent
    from tests.kills.stack import Stack
    from tests.kills.strikes import Strikes

ENDS = ("succeeded", "failed", "cancelled")
_PREFIX = "isthmus-"
#: Seconds within which a launch that continued late would have started its batch job.
_LATE_WORK = 8.0

_JOBS = """
SELECT job.pod_uid::text AS uid, job.state, job.exit_code, job.reason, job.message, job.attempt_key, job.native_id,
       (SELECT count(*) FROM jobs_usagerecord WHERE job_id = job.id) AS usages,
       (SELECT array_agg(ARRAY[old, new] ORDER BY id) FROM jobs_transition WHERE job_id = job.id) AS history
FROM jobs_job AS job
"""


class Row(NamedTuple):
    """A job's row. history: (old, new) of each of its moves. usages: the number of its usage records."""

    uid: str
    state: str
    exit_code: int | None
    reason: str
    message: str
    attempt_key: str
    native_id: str
    usages: int
    history: list[tuple[str, str]]


@dataclass(frozen=True)
class Aftermath:
    """rows: by pod UID. batch_jobs: by key, all that Slurm ever had of ours. alive: those that have not ended."""

    load: Load
    strikes: Strikes
    rows: dict[str, Row]
    abandoned: frozenset[str]
    batch_jobs: Counter[str]
    alive: frozenset[str]

    @property
    def kept(self) -> list[Sent]:
        """Return the pods that must have run: answered, and not deleted."""
        return [sent for sent in self.load.sent if sent.answered and sent.delete is None]

    def row(self, sent: Sent) -> Row | None:
        return self.rows.get(sent.pod.uid)

    def batch_jobs_of(self, sent: Sent) -> int:
        row = self.row(sent)
        return self.batch_jobs[row.attempt_key] if row else 0


def settle(stack: Stack, strikes: Strikes, *, base: Path, within: float) -> Aftermath:
    """Wait until every job has ended, here and at Slurm, or until the time limit. Then collect everything."""
    deadline = time.monotonic() + within
    while _unsettled(stack, strikes, base) and time.monotonic() < deadline:
        time.sleep(1)
    with psycopg.connect(stack.database_url, row_factory=namedtuple_row) as connection:
        rows = [Row._make(row) for row in connection.execute(_JOBS)]
        abandoned = connection.execute("SELECT key FROM jobs_abandonedattempt").fetchall()
    return Aftermath(
        strikes.load,
        strikes,
        {row.uid: row for row in rows},
        frozenset(key for (key,) in abandoned),
        Counter({_key(name): count for name, count in control.batch_jobs(strikes.backends, under=base).items()}),
        _alive(strikes.backends, base),
    )


def _unsettled(stack: Stack, strikes: Strikes, base: Path) -> bool:
    """Return whether anything may still change. Late launches get some time to do what they must not do."""
    if time.monotonic() < strikes.late_until + _LATE_WORK:
        return True
    watched = [sent.pod for sent in strikes.load.sent if sent.answered and sent.delete is None]
    unseen = strikes.load.kubelet.panic is None and not all(pod.ended for pod in watched)
    if unseen or _alive(strikes.backends, base):
        return True
    with psycopg.connect(stack.database_url) as connection:
        return connection.execute("SELECT FROM jobs_job WHERE ended_at IS NULL").fetchone() is not None


def _alive(backends: Backends, base: Path) -> frozenset[str]:
    return frozenset(_key(name) for name in control.live_batch_jobs(backends, under=base))


def _key(name: str) -> str:
    return name.removeprefix(_PREFIX)
