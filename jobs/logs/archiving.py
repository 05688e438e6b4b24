"""Copies the logs of ended jobs from the site to the `logs` storage, before their folders are cleaned.

It is safe to repeat after a crash at any point: a job is due until its logs are stored and on record.
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

#: Bytes of each log that the first round trip reads, together with many others': most logs are short.
_FIRST = 1 << 16
#: Containers in one round trip, which so brings at most 16 MiB of logs and indexes.
_TOGETHER = 128
_PARTS: tuple[Part, ...] = ("log", "index")


def archive(connector: Connector, jobs: Sequence[Job], now: datetime) -> None:
    """Stores the logs of these ended jobs of one site; each is then due for cleaning KEEP_FOLDERS seconds later.

    A missing log is not an error. Jobs whose logs could not be stored, because the site fell silent or our storage
    failed, are due again after a back-off. Raises Unreachable when the site fell silent.
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
    """Deletes an archived log. The file goes first, so that after a crash the row still names it.

    Raises OSError where the storage fails.
    """
    storages["logs"].delete(archived.path)
    archived.delete()


class _BegunOutput(SiteOutput):
    """A log at the site whose first pieces were read already. Of a short log that is all."""

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
    """Stores the logs of these jobs. Yields each job that is done, with its unsaved rows."""
    try:
        outputs = _outputs(connector, batch)
    except Rejected as error:
        if len(batch) > 1:  # perhaps because of one job: try each alone
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


def _outputs(connector: Connector, batch: list[Job]) -> dict[int, dict[str, _BegunOutput]]:
    """Job id -> container name -> output, with the first pieces read in one round trip."""
    wanted = [(job, container["name"], part) for job in batch for container in job.containers for part in _PARTS]
    requests = [LogRequest(job.ref, name, 0, _FIRST, part) for job, name, part in wanted]
    pieces_read = connector.read_logs(requests) if requests else []
    if len(pieces_read) != len(wanted):
        raise Unreachable("The site did not answer with all the logs that it was asked for.")
    first: dict[tuple[int, str], dict[Part, bytes]] = defaultdict(dict)
    for (job, name, part), piece in zip(wanted, pieces_read, strict=True):
        first[job.pk, name][part] = piece or b""
    return {
        job.pk: {
            container["name"]: _BegunOutput(connector, job, container["name"], first[job.pk, container["name"]])
            for container in job.containers
        }
        for job in batch
    }


def _stored(job: Job, container: str, output: _BegunOutput, now: datetime) -> ArchivedLog:
    """Compresses and stores one log, the last LOG_ARCHIVE_BYTES of it. Returns its row, unsaved.

    Raises OSError where the storage fails.
    """
    # Only the tail of a long log is kept: from a whole line on, unless the last line alone is too long.
    size = output.size()
    surplus = max(0, size - settings.LOG_ARCHIVE_BYTES)
    begin = next_line(output, surplus)
    begin = begin if begin < size else surplus
    index = _index(output, begin)
    storage = storages["logs"]
    path = f"{job.key[:2]}/{job.key}.{container}.gz"
    with tempfile.SpooledTemporaryFile(max_size=PIECE) as file:
        size = _compress(limited(pieces(output, begin), settings.LOG_ARCHIVE_BYTES), file)
        storage.delete(path)  # a crash may have left a file
        path = storage.save(path, File(file))
    return ArchivedLog(job=job, container=container, path=path, size=size, skipped=begin, index=index, archived_at=now)


def _index(output: _BegunOutput, begin: int) -> str:
    """The lines of the index for the bytes from `begin` on; of an index that is too long, the last ones."""
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
    """Writes `chunks` to `file`, compressed. Returns their size in bytes before compression."""
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
