"""The output of a container, at its site or in the archive: bytes by offset, and the index of their times."""

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

#: Bytes of one read. A stream holds a small multiple of it in memory.
PIECE = 1 << 20
#: The search for a log's end reads the rest when it is this close, in bytes.
_NEAR = 1 << 16
_LARGEST = 1 << 50
#: States in which there may be output. Also PENDING: a job may have started a few seconds before a poll reports it.
_SHOWN = frozenset({State.PENDING, State.RUNNING})

logger = logging.getLogger(__name__)


class Output(Protocol):
    """What a container wrote. Offsets count from its first byte, even where the first bytes are no longer kept."""

    @property
    def begin(self) -> int:
        """The first offset that can be read: 0, unless the archive does not keep the beginning."""

    def size(self) -> int:
        """The offset at which the log ends now."""

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes; fewer only at the present end. Raises Unreachable, or Rejected if the site refuses."""

    def close(self) -> None:
        """Closes files."""


def pieces(output: Output, offset: int) -> Generator[bytes]:
    """Yields the log from `offset` to its present end, in pieces."""
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
    """The output of an attempt at its site. A log that does not exist (yet) is empty."""

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
        """Does nothing: the connector is shared."""

    def request(self, part: Part, offset: int, limit: int) -> LogRequest:
        return LogRequest(self._ref, self._container, offset, limit, part)

    def size(self) -> int:
        """Finds the size by reading single bytes, many in a round trip: three or four round trips for a terabyte."""
        low, high = 0, _LARGEST
        probes = [0, *(1 << power for power in range(16, 50))]
        while high - low > _NEAR:
            answers = self.connect().read_logs([self.request("log", probe, 1) for probe in probes])
            there = [probe for probe, answer in zip(probes, answers, strict=False) if answer]
            beyond = [probe for probe, answer in zip(probes, answers, strict=False) if not answer]
            # More than the last offset with a byte, and not more than the first one without.
            low, high = max(there, default=low), min(beyond, default=high)
            probes = list(range(low + _NEAR, high, max(_NEAR, (high - low) // 32)))
        return low + len(self.read("log", low, high - low + 1))


class ArchivedOutput:
    """The output of an ended job, in the `logs` storage. The caller closes it."""

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
    """The output of a container that has written nothing."""

    begin = 0

    def size(self) -> int:
        return 0

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        return b""

    def close(self) -> None:
        """Does nothing."""


def output_of(job: Job, container: str) -> Output:
    """The output of this container: nowhere yet, at the site, or in the archive. The caller closes it.

    Raises NotFound where the log is older than KEEP_LOGS. Runs one query for an archived job, otherwise none beside
    `job.site`.
    """
    if job.is_over and job.next_archive_at is None:
        return _archived(job, container)
    if is_at_site(job):
        return at_site(job, container)
    return NoOutput()


def is_at_site(job: Job) -> bool:
    """Whether the job's logs are at its site."""
    return job.next_archive_at is not None if job.is_over else State(job.state) in _SHOWN


def at_site(job: Job, container: str) -> SiteOutput:
    return SiteOutput(lambda: _connect(job.site), job.ref, container)


def ended_at(job: Job, container: str) -> int | None:
    """When this container ended, in epoch seconds; None where that is not known."""
    ended: int | None = job.observed.get(container, {}).get("ended")
    if ended is None and job.ended_at is not None:
        return int(job.ended_at.timestamp())
    return None if ended is None else int(ended)


def _connect(site: Site | None) -> Connector:
    """The site's connector. Raises Unreachable while the breaker is open, when only probes may call the site."""
    if site is None:
        raise Unreachable("The pod is at no site.")
    if site.silent_since is not None:
        raise Unreachable(f"{site.name} has not answered since {site.silent_since:%Y-%m-%d %H:%M} UTC.")
    return connector_for(site)


def _archived(job: Job, container: str) -> Output:
    with seeing(tenants=[job.tenant_id]):  # not the request's scope: a long answer runs this between two pieces
        archived = ArchivedLog.objects.filter(job=job, container=container).defer("index").first()
    if archived is not None:
        return ArchivedOutput(archived, tenant_id=job.tenant_id)
    if job.ended_at is not None and (timezone.now() - job.ended_at).total_seconds() > settings.KEEP_LOGS:
        raise NotFound(f"Logs are kept for {settings.KEEP_LOGS / 86400:.0f} days; this pod's are gone.")
    return NoOutput()
