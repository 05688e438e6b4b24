"""One container's output, wherever it lies now: bytes by offset, and the index that gives each byte its second."""

from __future__ import annotations

import gzip
import logging
from contextlib import ExitStack, closing
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

from django.conf import settings
from django.core.files.storage import storages
from django.utils import timezone

from controlplane.errors import NotFound, Unavailable
from controlplane.tenants.scope import seeing
from jobs.models import ArchivedLog
from jobs.states import State
from sites.connections import connector_for
from sites.connectors.base import LogRequest, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jobs.models import Job
    from sites.connectors.base import Connector
    from sites.models import Site
    from sites.workload import JobRef

Part = Literal["log", "index"]

#: Bytes read at once. What a stream holds in memory is a small multiple of it.
PIECE = 1 << 20
#: How close a search for a log's end comes before it reads the rest.
_NEAR = 1 << 16
_LARGEST = 1 << 50
#: States in which there may be something to read: also while we think that the job still waits in the site's queue,
#: for a poll tells of its start only seconds later.
_SHOWN = frozenset({State.PENDING, State.RUNNING})

logger = logging.getLogger(__name__)


class Output(Protocol):
    """What a container wrote. Offsets count from the container's first byte, also where the first ones are gone."""

    @property
    def begin(self) -> int:
        """The first offset that can be read; 0 unless an archive left the beginning out."""

    def size(self) -> int:
        """Where the log ends at the moment."""

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes; fewer only at the present end. Raises Unreachable, or Rejected, as the site does."""

    def close(self) -> None:
        """Let go of files."""


def pieces(output: Output, offset: int) -> Generator[bytes]:
    """The log from `offset` to its present end, piece by piece."""
    while piece := output.read("log", offset, PIECE):
        yield piece
        offset += len(piece)
        if len(piece) < PIECE:
            return


def limited(chunks: Generator[bytes], limit: int | None) -> Generator[bytes]:
    """Yields the first `limit` bytes of all chunks; None: all of them. Closes `chunks`."""
    with closing(chunks):
        for chunk in chunks:
            if limit is None:
                yield chunk
                continue
            yield chunk[:limit]
            limit -= len(chunk)
            if limit <= 0:
                return


class SiteOutput:
    """The output of an attempt where its site keeps it. A log that is not there (yet) is empty."""

    begin = 0

    def __init__(self, connect: Callable[[], Connector], ref: JobRef, container: str) -> None:
        self.connect = connect
        self._ref = ref
        self._container = container

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        answers = self.connect().read_logs([self.request(part, offset, limit)])
        if len(answers) != 1:
            raise Unreachable("The site did not answer with the piece of the log that was asked for.")
        return answers[0] or b""

    def close(self) -> None:
        """The connector is shared, and stays."""

    def request(self, part: Part, offset: int, limit: int) -> LogRequest:
        return LogRequest(self._ref, self._container, offset, limit, part)

    def size(self) -> int:
        """Found by asking for single bytes, many in a round trip: three or four trips for a terabyte."""
        low, high = 0, _LARGEST
        probes = [0, *(1 << power for power in range(16, 50))]
        while high - low > _NEAR:
            low, high = self._between(probes, low, high)
            probes = list(range(low + _NEAR, high, max(_NEAR, (high - low) // 32)))
        return low + len(self.read("log", low, high - low + 1))

    def _between(self, probes: list[int], low: int, high: int) -> tuple[int, int]:
        """Bounds of the size, narrowed: it is more than the last offset with a byte, and not more than the next."""
        answers = self.connect().read_logs([self.request("log", probe, 1) for probe in probes])
        there = [probe for probe, answer in zip(probes, answers, strict=False) if answer]
        beyond = [probe for probe, answer in zip(probes, answers, strict=False) if not answer]
        return max(there, default=low), min(beyond, default=high)


class ArchivedOutput:
    """The output of an ended job from the `logs` storage. Close it after use."""

    def __init__(self, archived: ArchivedLog, *, tenant_id: int) -> None:
        self.begin = archived.skipped
        self._tenant_id = tenant_id
        self._archived = archived
        self._closing = ExitStack()

    def size(self) -> int:
        return self.begin + self._archived.size

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        if part == "index":
            return self._index[offset : offset + limit]
        self._file.seek(max(offset - self.begin, 0))
        return self._file.read(limit)

    def close(self) -> None:
        self._closing.close()

    @cached_property
    def _file(self) -> gzip.GzipFile:
        try:
            stored = self._closing.enter_context(storages["logs"].open(self._archived.path))
        except OSError as error:
            logger.exception("archived log unreadable", extra={"job": self._archived.job_id})
            raise Unavailable("The archived log cannot be read now; tell the operator if it stays so.") from error
        return self._closing.enter_context(gzip.GzipFile(fileobj=stored))

    @cached_property
    def _index(self) -> bytes:
        with seeing(tenants=[self._tenant_id]):
            return self._archived.index.encode()


class NoOutput:
    """The output of a container that never wrote, or not yet."""

    begin = 0

    def size(self) -> int:
        return 0

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        return b""

    def close(self) -> None:
        """There is nothing to let go of."""


def output_of(job: Job, container: str) -> Output:
    """Where this container's output lies now: nowhere yet, at the site, or in the archive. Close it after use.

    Raises NotFound where the log was kept its time and is gone. One query for an archived job, else none beside
    `job.site`.
    """
    if job.is_over and job.next_archive_at is None:
        return _archived(job, container)
    if is_at_site(job):
        return at_site(job, container)
    return NoOutput()


def is_at_site(job: Job) -> bool:
    """Whether its site is the place to ask for its logs."""
    return job.next_archive_at is not None if job.is_over else State(job.state) in _SHOWN


def at_site(job: Job, container: str) -> SiteOutput:
    return SiteOutput(lambda: _connect(job.site), job.ref, container)


def ended_at(job: Job, container: str) -> int | None:
    """When this container ended, in epoch seconds, as far as is known."""
    told: int | None = job.observed.get(container, {}).get("ended")
    if told is None and job.ended_at is not None:
        return int(job.ended_at.timestamp())
    return None if told is None else int(told)


def _connect(site: Site | None) -> Connector:
    """The site's connector, unless its breaker is open: then only probes may touch it."""
    if site is None:
        raise Unreachable("The pod is at no site.")
    if site.silent_since is not None:
        raise Unreachable(f"{site.name} has not answered since {site.silent_since:%Y-%m-%d %H:%M} UTC.")
    return connector_for(site)


def _archived(job: Job, container: str) -> Output:
    with seeing(tenants=[job.tenant_id]):  # not the request's own: a long answer looks it up between two pieces
        archived = ArchivedLog.objects.filter(job=job, container=container).defer("index").first()
    if archived is not None:
        return ArchivedOutput(archived, tenant_id=job.tenant_id)
    if job.ended_at is not None and (timezone.now() - job.ended_at).total_seconds() > settings.KEEP_LOGS:
        raise NotFound(f"Logs are kept for {settings.KEEP_LOGS / 86400:.0f} days; this pod's are gone.")
    return NoOutput()
