"""Ended jobs' logs, taken from the site before their folders are cleaned, and kept in the `logs` storage.

Safe to repeat after a crash at any point: a job is due until its logs are stored and on record.
"""

from __future__ import annotations

import gzip
import logging
import tempfile
from collections import defaultdict, deque
from datetime import timedelta
from typing import IO, TYPE_CHECKING

from django.conf import settings
from django.core.files import File
from django.core.files.storage import storages
from django.db import transaction

from jobs import lifecycle
from jobs.logs.output import PIECE, SiteOutput, limited, pieces
from jobs.logs.text import Clock, next_line
from jobs.models import ArchivedLog, Job
from sites import health
from sites.connectors.base import LogRequest, Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from jobs.logs.output import Part
    from sites.connectors.base import Connector

logger = logging.getLogger(__name__)

#: Most logs are short: this much of each is asked for in the first round trip, together with many others'.
_FIRST = 1 << 16
#: Containers in one round trip: bounds what it brings, logs and indexes, to 16 MiB.
_TOGETHER = 128
_PARTS: tuple[Part, ...] = ("log", "index")


def archive(connector: Connector, jobs: Sequence[Job], now: datetime) -> None:
    """Store the logs of these ended jobs of one site; each is then due to be cleaned KEEP_FOLDERS later.

    A log that is not there is no error. Jobs that could not be done, since the site fell silent or our own storage
    failed, are due again after a back-off. Raises Unreachable when the site fell silent, so that the caller notes it.
    """
    for batch in _batches(jobs):
        done: dict[int, list[ArchivedLog]] = {}
        try:
            for job, logs in _archived(connector, batch, now):
                done[job.pk] = logs
        finally:
            _record(done, now)
            _postpone([job for job in batch if job.pk not in done], now)


def forget(archived: ArchivedLog) -> None:
    """Delete an archived log: the file first, so that a crash leaves a row to find it by."""
    storages["logs"].delete(archived.path)
    archived.delete()


class _Begun(SiteOutput):
    """A log at the site of which the first pieces are known: all there is of a short one."""

    def __init__(self, connector: Connector, job: Job, container: str, first: Mapping[Part, bytes]) -> None:
        super().__init__(lambda: connector, job.ref, container)
        self._first = first

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        if self._is_short(part):
            return self._first[part][offset : offset + limit]
        return super().read(part, offset, limit)

    def size(self) -> int:
        return len(self._first["log"]) if self._is_short("log") else super().size()

    def _is_short(self, part: Part) -> bool:
        return len(self._first[part]) < _FIRST


def _batches(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    containers = 0
    for job in jobs:
        if batch and containers + len(job.containers) > _TOGETHER:
            yield batch
            batch, containers = [], 0
        batch.append(job)
        containers += len(job.containers)
    if batch:
        yield batch


def _archived(connector: Connector, batch: list[Job], now: datetime) -> Iterator[tuple[Job, list[ArchivedLog]]]:
    """Each job whose logs are stored now, with their rows to be."""
    try:
        outputs = _outputs(connector, batch)
    except Rejected as error:
        if len(batch) > 1:  # one of them, perhaps: the others must not suffer for it
            for job in batch:
                yield from _archived(connector, [job], now)
            return
        logger.warning("no logs to archive", extra={"job": batch[0].pk, "why": error.message})
        yield batch[0], []
        return
    for job in batch:
        try:
            logs = [_stored(job, name, output, now) for name, output in outputs[job.pk].items() if output.size()]
        except OSError:
            logger.exception("log not archived", extra={"job": job.pk})
        else:
            yield job, logs


def _outputs(connector: Connector, batch: list[Job]) -> dict[int, dict[str, _Begun]]:
    """Every container's output by job and name, the first pieces read in one round trip."""
    asked = [(job, container["name"], part) for job in batch for container in job.containers for part in _PARTS]
    requests = [LogRequest(job.ref, name, 0, _FIRST, part) for job, name, part in asked]
    pieces_read = connector.read_logs(requests) if requests else []
    if len(pieces_read) != len(asked):
        raise Unreachable("The site did not answer with all the logs that it was asked for.")
    first: dict[tuple[int, str], dict[Part, bytes]] = defaultdict(dict)
    for (job, name, part), piece in zip(asked, pieces_read, strict=True):
        first[job.pk, name][part] = piece or b""
    return {
        job.pk: {
            container["name"]: _Begun(connector, job, container["name"], first[job.pk, container["name"]])
            for container in job.containers
        }
        for job in batch
    }


def _stored(job: Job, container: str, output: _Begun, now: datetime) -> ArchivedLog:
    """Compress and store one log; its row, unsaved."""
    begin = _kept_from(output)
    index = _index(output, begin)
    storage = storages["logs"]
    path = f"{job.key[:2]}/{job.key}.{container}.gz"
    with tempfile.SpooledTemporaryFile(max_size=PIECE) as file:
        size = _compress(limited(pieces(output, begin), settings.LOG_ARCHIVE_BYTES), file)
        storage.delete(path)  # what a crash may have left
        path = storage.save(path, File(file))
    return ArchivedLog(job=job, container=container, path=path, size=size, skipped=begin, index=index, archived_at=now)


def _kept_from(output: _Begun) -> int:
    """Where the kept tail of a log begins: with a whole line, unless its last line alone is too long."""
    size = output.size()
    surplus = max(0, size - settings.LOG_ARCHIVE_BYTES)
    begin = next_line(output, surplus)
    return begin if begin < size else surplus


def _index(output: _Begun, begin: int) -> str:
    """The lines of the index that tell of the bytes from `begin` on; of an endless one, the latest."""
    clock = Clock(lambda offset, limit: output.read("index", offset, limit))
    lines: deque[str] = deque()
    held, offset = 0, begin
    while stretch := clock.stretch(offset):
        lines.append(f"{stretch[0]} {stretch[1]}\n")
        held, offset = held + len(lines[-1]), stretch[1]
        while held > settings.LOG_ARCHIVE_BYTES:
            held -= len(lines.popleft())
    return "".join(lines)


def _compress(chunks: Iterable[bytes], file: IO[bytes]) -> int:
    """Write `chunks` to `file`, compressed; how many bytes they were."""
    size = 0
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as compressed:
        for chunk in chunks:
            size += compressed.write(chunk)
    return size


def _record(done: Mapping[int, list[ArchivedLog]], now: datetime) -> None:
    if not done:
        return
    with transaction.atomic():
        ArchivedLog.objects.bulk_create(
            [log for logs in done.values() for log in logs],
            update_conflicts=True,
            unique_fields=["job", "container"],
            update_fields=["path", "size", "skipped", "index", "archived_at"],
        )
        clean_at = now + timedelta(seconds=settings.KEEP_FOLDERS)
        due = Job.objects.filter(pk__in=done, next_archive_at__isnull=False)
        lifecycle.change_quietly(due, {"next_archive_at": None, "next_clean_at": clean_at, "tries": 0})


def _postpone(jobs: Iterable[Job], now: datetime) -> None:
    by_tries: dict[int, list[int]] = defaultdict(list)
    for job in jobs:
        by_tries[job.tries + 1].append(job.pk)
    for tries, pks in by_tries.items():
        due = Job.objects.filter(pk__in=pks, next_archive_at__isnull=False)
        lifecycle.change_quietly(due, {"next_archive_at": now + health.delay(tries), "tries": tries})
