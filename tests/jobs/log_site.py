"""A running job at an in-memory site, whose containers write what a test says."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from jobs.states import State
from sites.connections import connector_for
from sites.connectors.memory.site import memory_site
from sites.models import Site
from sites.workload import Container, Workload
from tests.factories import make_job, make_node, make_pod, make_request, make_site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobs.models import Job
    from sites.connectors.base import Connector
    from sites.connectors.memory.site import MemorySite


@dataclass
class Logged:
    """A job and what a test needs with it. token: its virtual node's."""

    job: Job
    token: str
    site: Site
    memory: MemorySite
    connector: Connector

    def write(self, text: bytes, container: str = "main", *, at: datetime | None = None) -> None:
        """Write to the log. at: the site's clock is set to this time."""
        if at is not None:
            self.memory.clock = lambda: at
        self.memory.write_log(self.job.attempt_key, container, text)

    def reads(self) -> int:
        """Return the number of round trips so far that read logs."""
        return sum(operation == "read_logs" for operation, _ in self.memory.calls)

    def container_ended(self, container: str = "main") -> None:
        """Record the container's end as a poll would."""
        self.job.observed |= {container: {"started": 1, "ended": int(timezone.now().timestamp()), "code": 0}}
        self.job.save(update_fields=["observed"])

    def ended(self) -> None:
        """End the job and make its logs due for archiving."""
        self.memory.finish(self.job.attempt_key)
        now = timezone.now()
        self.job.state, self.job.ended_at, self.job.next_archive_at, self.job.request = State.SUCCEEDED, now, now, None
        self.job.is_counted = False
        self.job.save(update_fields=["state", "ended_at", "next_archive_at", "request", "is_counted"])


def running(
    *,
    containers: Sequence[str] = ("main",),
    inits: Sequence[str] = (),
    at: datetime | None = None,
    memory: MemorySite | None = None,
    **fields: Any,
) -> Logged:
    """Make a job in state `running` (or as `fields` say) whose containers run at its site, with init containers done.

    at: the fixed time of the site's clock; without it the clock runs like ours. memory: the site of another such job.
    """
    memory = memory or memory_site(f"logs-{uuid.uuid4().hex}")
    site = Site.objects.filter(config__name=memory.name).first() or make_site(config={"name": memory.name})
    node, token = make_node(site=site)
    pod = make_pod()
    pod["spec"]["containers"] = [{"name": each, "image": "busybox"} for each in containers]
    pod["spec"]["initContainers"] = [{"name": each, "image": "busybox"} for each in inits]
    job = make_job(**{"state": State.RUNNING, "node": node, "request": make_request(pod), **fields})
    connector = connector_for(site)
    workload = Workload(
        key=job.attempt_key,
        folder=job.folder,
        pod=str(job),
        containers=tuple(Container(each, "busybox") for each in containers),
        init_containers=tuple(Container(each, "busybox") for each in inits),
    )
    job.native_id = str(connector.submit([workload])[job.attempt_key])
    job.save(update_fields=["native_id"])
    if at is not None:
        memory.clock = lambda: at
    memory.start(job.attempt_key)
    return Logged(job, token, site, memory, connector)
