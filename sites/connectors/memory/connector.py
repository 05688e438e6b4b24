"""The in-memory connector: a simulated site inside this process, for fast tests. It keeps the connector contract.

With `memory_site(name)`, a test makes jobs start, finish and fail, and makes the site misbehave.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sites.connectors.base import ABSENT, Connector, PollAnswer
from sites.connectors.config import Config
from sites.connectors.memory.site import memory_site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from sites.connectors.base import Found, LogRequest, Submitted
    from sites.connectors.memory.site import MemorySite, Operation
    from sites.workload import JobRef, PartitionReport, Workload


class MemoryConnector(Connector):
    """Speaks to one simulated site. All connectors with the same name speak to the same site."""

    def __init__(self, site: MemorySite) -> None:
        self._site = site

    @classmethod
    def from_config(cls, config: Mapping[str, object], secret: str = "") -> Self:
        """config: {"name": the simulated site's name}. Raises `BadConfig`."""
        settings = Config(config)
        name = settings.required("name")
        settings.text("default_partition")  # sites/policy.py reads it
        settings.finish()
        return cls(memory_site(name))

    @classmethod
    def folder_for(cls, config: Mapping[str, object], key: str) -> str:
        """There are no folders here, but the name has the same form as for other connectors."""
        return f"memory/{key}"

    def submit(self, workloads: Sequence[Workload]) -> Mapping[str, Submitted]:
        self._travel("submit", len(workloads))
        with self._site.lock:
            answers = {workload.key: self._site.accept(workload) for workload in workloads}
        self._site.answered("submit")
        return self._site.delivered(answers)

    def find(self, refs: Sequence[JobRef]) -> Mapping[str, Found]:
        self._travel("find", len(refs))
        with self._site.lock:
            jobs = {ref.key: self._site.fence(ref.key) for ref in refs}
        self._site.answered("find")
        return self._site.delivered({key: ABSENT if job is None else job.native_id for key, job in jobs.items()})

    def poll(self, refs: Sequence[JobRef], recorded: Sequence[str] = ()) -> PollAnswer:
        self._travel("poll", len(refs))
        with self._site.lock:
            self._site.forget_events(recorded)
            jobs = [job for ref in refs if (job := self._site.look_up(ref)) is not None and not job.hidden]
            reports = {job.workload.key: job.report() for job in jobs}
        self._site.answered("poll")
        return PollAnswer(self._site.delivered(reports), self._site.latency)

    def cancel(self, refs: Sequence[JobRef]) -> None:
        self._travel("cancel", len(refs))
        with self._site.lock:
            for ref in refs:
                self._site.cancel(ref)
        self._site.answered("cancel")

    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        self._travel("read_logs", len(requests))
        with self._site.lock:
            pieces = [self._read(request) for request in requests]
        self._site.answered("read_logs")
        return pieces

    def _read(self, request: LogRequest) -> bytes | None:
        job = self._site.look_up(request.ref)
        run = job.runs.get(request.container) if job else None
        if run is None:
            return None
        index = b"".join(b"%d %d\n" % entry for entry in run.index)
        whole = index if request.part == "index" else bytes(run.log)
        return whole[request.offset : request.offset + request.limit]

    def capacity(self) -> list[PartitionReport]:
        self._travel("capacity", 0)
        self._site.answered("capacity")
        return list(self._site.partitions)

    def clean(self, refs: Sequence[JobRef]) -> None:
        self._travel("clean", len(refs))
        with self._site.lock:
            for ref in refs:
                self._site.remove(ref.key)
        self._site.answered("clean")

    def close(self) -> None:
        """There is no connection to close; the site and its jobs continue."""

    def _travel(self, operation: Operation, items: int) -> None:
        # Outside the lock: a slow answer must not delay another thread's call.
        time.sleep(self._site.latency)
        self._site.heard(operation, items)
