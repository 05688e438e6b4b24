"""Logs outlive their job: fetched from the site, kept compressed, and read as before."""

from __future__ import annotations

import gzip
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from controlplane.errors import NotFound, Unavailable
from jobs import logs
from jobs.logs import LogOptions, open_log
from jobs.models import ArchivedLog, Job
from sites.connectors.base import Rejected, Unreachable
from sites.connectors.memory.connector import MemoryConnector
from tests.jobs.log_site import Logged, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERY_OPTION = [
    LogOptions(),
    LogOptions(timestamps=True),
    LogOptions(tail=2),
    LogOptions(tail=1, timestamps=True),
    LogOptions(limit=7),
    LogOptions(since=int(NOON.timestamp()) + 2, timestamps=True),
]


@pytest.fixture(autouse=True)
def archive_folder(settings: Any, tmp_path: Path) -> Path:
    options = {**settings.STORAGES["logs"]["OPTIONS"], "location": str(tmp_path)}
    settings.STORAGES = {**settings.STORAGES, "logs": {**settings.STORAGES["logs"], "OPTIONS": options}}
    return tmp_path


def read(logged: Logged, container: str = "main", options: LogOptions = LogOptions()) -> bytes:  # noqa: B008  (frozen)
    job = Job.objects.get(pk=logged.job.pk)
    with closing(open_log(job, logs.container_of(job, container), options)) as stream:
        return b"".join(stream)


def archive(*many: Logged, now: datetime | None = None) -> None:
    jobs: Sequence[Job] = list(Job.objects.filter(pk__in=[logged.job.pk for logged in many]).order_by("pk"))
    logs.archive(many[0].connector, jobs, now or timezone.now())


def due(logged: Logged) -> datetime:
    logged.job.refresh_from_db()
    assert logged.job.next_archive_at is not None
    return logged.job.next_archive_at


def leave(logged: Logged) -> None:
    """Make the site forget the job, as if its folder were cleaned."""
    logged.memory.remove(logged.job.attempt_key)


def ended(*lines: bytes, container: str = "main", **fields: Any) -> Logged:
    """An ended job that wrote one line per second from noon on."""
    logged = running(at=NOON, **fields)
    for second, line in enumerate(lines):
        logged.write(line, container, at=NOON + timedelta(seconds=second))
    logged.ended()
    return logged


class SilentAfter(MemoryConnector):
    """A connector whose site falls silent after this many calls."""

    def __init__(self, memory: Any, *, calls: int) -> None:
        super().__init__(memory)
        self.left = calls

    def read_logs(self, requests: Any) -> list[bytes | None]:
        if not self.left:
            raise Unreachable("The site does not answer.")
        self.left -= 1
        return super().read_logs(requests)


class Refusing(MemoryConnector):
    """A connector whose site refuses every call that names this job."""

    def __init__(self, memory: Any, key: str) -> None:
        super().__init__(memory)
        self.key = key

    def read_logs(self, requests: Any) -> list[bytes | None]:
        if any(request.ref.key == self.key for request in requests):
            raise Rejected("The folder has a strange name.")
        return super().read_logs(requests)


def neighbour(other: Logged, text: bytes) -> Logged:
    """Return another ended job at the same site."""
    logged = running(memory=other.memory)
    logged.write(text)
    logged.ended()
    return logged


@pytest.mark.parametrize("options", EVERY_OPTION)
def test_an_archived_log_reads_byte_for_byte_as_before(options: LogOptions) -> None:
    logged = ended(b"one\n", b"caf\xc3", b"\xa9 \xff\x00\r\n", b"no newline")
    before = read(logged, options=options)
    archive(logged)
    leave(logged)
    assert read(logged, options=options) == before != b""


def test_init_containers_are_archived_too(archive_folder: Path) -> None:
    logged = running(containers=["main", "sidecar"], inits=["fetch"])
    for name in ("fetch", "main", "sidecar"):
        logged.write(name.encode(), name)
    logged.ended()
    archive(logged)
    leave(logged)
    assert [read(logged, name) for name in ("fetch", "main", "sidecar")] == [b"fetch", b"main", b"sidecar"]
    stored = [path for path in archive_folder.rglob("*") if path.is_file()]
    assert sorted(gzip.decompress(path.read_bytes()) for path in stored) == [b"fetch", b"main", b"sidecar"]
    assert {path.stat().st_mode & 0o777 for path in stored} == {0o600}


def test_after_archiving_the_job_is_due_for_cleaning(settings: Any) -> None:
    logged, now = ended(b"text"), timezone.now()
    archive(logged, now=now)
    logged.job.refresh_from_db()
    assert logged.job.next_archive_at is None
    assert logged.job.next_clean_at == now + timedelta(seconds=settings.KEEP_FOLDERS)


def test_a_missing_log_is_not_an_error() -> None:
    logged = ended(b"text")
    leave(logged)
    archive(logged)
    logged.job.refresh_from_db()
    assert logged.job.next_archive_at is None
    assert not ArchivedLog.objects.exists()
    assert read(logged) == b""


def test_many_short_logs_take_one_round_trip() -> None:
    first = ended(b"0\n")
    others = [neighbour(first, b"%d\n" % n) for n in range(1, 20)]
    archive(first, *others)
    assert first.reads() == 1
    assert [read(logged) for logged in (first, *others)] == [b"%d\n" % n for n in range(20)]


def test_a_log_over_the_limit_keeps_its_tail_in_whole_lines(settings: Any) -> None:
    settings.LOG_ARCHIVE_BYTES = 100_000
    lines = [b"%06d %s\n" % (n, b"x" * 92) for n in range(5_000)]
    logged = ended(*[b"".join(lines[n : n + 500]) for n in range(0, 5_000, 500)])
    whole, stamped = read(logged), read(logged, options=LogOptions(timestamps=True))
    archive(logged)
    leave(logged)
    kept = read(logged)
    assert kept == b"".join(lines[-1000:])
    row = ArchivedLog.objects.get()
    assert (row.size, row.skipped) == (len(kept), len(whole) - len(kept))
    assert read(logged, options=LogOptions(timestamps=True)) == b"".join(stamped.splitlines(keepends=True)[-1000:])
    assert read(logged, options=LogOptions(tail=3)) == b"".join(lines[-3:])
    assert read(logged, options=LogOptions(tail=4_000)) == kept


def test_a_single_endless_line_keeps_its_end(settings: Any) -> None:
    settings.LOG_ARCHIVE_BYTES = 100_000
    logged = ended(bytes(range(250)).replace(b"\n", b"") * 1_000)
    whole = read(logged)
    archive(logged)
    leave(logged)
    assert read(logged) == whole[-100_000:]


def test_an_index_over_the_limit_is_bounded_too(settings: Any) -> None:
    settings.LOG_ARCHIVE_BYTES = 2_000
    logged = ended(*[b".\n"] * 900)
    archive(logged)
    assert 1_900 < len(ArchivedLog.objects.get().index) <= 2_000


def test_a_silent_site_is_retried_later_and_raised_to_the_caller(settings: Any) -> None:
    logged, now = ended(b"text"), timezone.now()
    logged.memory.go_silent()
    for tries in (1, 2):
        with pytest.raises(Unreachable):
            archive(logged, now=now)
        logged.job.refresh_from_db()
        assert logged.job.tries == tries
        longest = timedelta(seconds=settings.RETRY_FIRST * 2 ** (tries - 1))
        assert longest * 0.75 <= due(logged) - now <= longest
        assert logged.job.next_clean_at is None
    logged.memory.answer_again()
    archive(logged)
    assert read(logged) == b"text"


def test_logs_archived_before_the_site_fell_silent_are_kept(settings: Any) -> None:
    short = ended(b"short")
    large = neighbour(short, b"large" * 20_000)
    short.connector = SilentAfter(short.memory, calls=1)
    with pytest.raises(Unreachable):
        archive(short, large)
    assert list(ArchivedLog.objects.values_list("job", flat=True)) == [short.job.pk]
    assert due(large) > timezone.now()


def test_a_crash_between_file_and_row_leaves_one_archive(archive_folder: Path) -> None:
    logged = ended(b"text")
    archive(logged)
    path = ArchivedLog.objects.get().path
    ArchivedLog.objects.all().delete()
    storages["logs"].delete(path)
    storages["logs"].save(path, ContentFile(b"half a fi"))
    logged.job.save(update_fields=["next_archive_at"])
    archive(logged)
    archive(logged)
    leave(logged)
    assert read(logged) == b"text"
    assert [each for each in archive_folder.rglob("*") if each.is_file()] == [archive_folder / path]


def test_a_job_archived_twice_has_one_archive() -> None:
    logged = ended(b"text")
    archive(logged)
    Job.objects.filter(pk=logged.job.pk).update(next_archive_at=timezone.now())
    archive(logged)
    assert ArchivedLog.objects.count() == 1


def test_a_full_disk_of_ours_loses_no_log(archive_folder: Path, settings: Any) -> None:
    logged = ended(b"text")
    (archive_folder / logged.job.key[:2]).write_text("a file where a folder should be")
    archive(logged)
    logged.job.refresh_from_db()
    assert due(logged) > timezone.now()
    assert logged.job.next_clean_at is None
    assert read(logged) == b"text"


def test_a_job_whose_logs_the_site_refuses_does_not_delay_the_others() -> None:
    good = ended(b"text")
    bad = neighbour(good, b"text")
    good.connector = Refusing(good.memory, bad.job.attempt_key)
    archive(good, bad)
    assert read(good) == b"text"
    bad.job.refresh_from_db()
    assert bad.job.next_archive_at is None


def test_a_deleted_log_leaves_neither_file_nor_row(archive_folder: Path) -> None:
    logged = ended(b"text")
    archive(logged)
    logs.forget(ArchivedLog.objects.get())
    assert not ArchivedLog.objects.exists()
    assert not [path for path in archive_folder.rglob("*") if path.is_file()]


def test_an_expired_log_is_reported_as_deleted(settings: Any) -> None:
    logged = ended(b"text")
    archive(logged)
    logs.forget(ArchivedLog.objects.get())
    assert read(logged) == b""
    Job.objects.filter(pk=logged.job.pk).update(ended_at=timezone.now() - timedelta(days=31))
    with pytest.raises(NotFound, match="30 days"):
        read(logged)


def test_an_unreadable_archive_is_not_an_empty_log() -> None:
    logged = ended(b"text")
    archive(logged)
    storages["logs"].delete(ArchivedLog.objects.get().path)
    with pytest.raises(Unavailable):
        read(logged)
