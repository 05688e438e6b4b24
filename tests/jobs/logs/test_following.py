"""Following a log: one thread reads the stream, as a web server would, while the site writes."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from controlplane.errors import TooMany
from jobs import logs
from jobs.logs import LogOptions, LogStream, open_log
from jobs.models import Job
from jobs.states import State
from tests.factories import make_job
from tests.jobs.log_site import Logged, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(60)]
FOLLOW = LogOptions(follow=True)


@pytest.fixture
def streams() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def follow(streams: ExitStack, logged: Logged, options: LogOptions = FOLLOW) -> LogStream:
    return streams.enter_context(closing(open_log(logged.job, "main", options)))


def pull(stream: LogStream, size: int, *, within: float = 5.0) -> bytes:
    """Return the next `size` bytes or more."""
    got, deadline = b"", time.monotonic() + within
    while len(got) < size:
        assert time.monotonic() < deadline, f"only {got!r} within {within} s"
        got += next(stream)
    return got


def rest(stream: LogStream) -> bytes:
    return b"".join(stream)


def test_text_arrives_within_two_seconds_of_being_written(streams: ExitStack) -> None:
    logged = running()
    logged.write(b"before\n")
    stream = follow(streams, logged)
    assert pull(stream, 7) == b"before\n"
    for n in range(3):
        logged.write(b"line %d\n" % n)
        assert pull(stream, 7, within=2.0) == b"line %d\n" % n


def test_a_follow_ends_with_its_container_after_all_text(streams: ExitStack) -> None:
    logged = running(containers=["main", "sidecar"])
    stream = follow(streams, logged)
    logged.write(b"first ")
    assert pull(stream, 6) == b"first "
    logged.write(b"and last")
    logged.container_ended()
    assert rest(stream) == b"and last"


def test_following_a_job_that_has_not_started_waits_for_it(streams: ExitStack) -> None:
    logged = running(state=State.QUEUED, attempt_key="a" * 40, folder=".isthmus/jobs/" + "a" * 40, attempt=1)
    logged.write(b"early\n")
    stream = follow(streams, logged)
    assert [next(stream) for _ in range(2)] == [b"", b""]
    logged.job.state = State.RUNNING
    logged.job.save(update_fields=["state"])
    assert pull(stream, 6) == b"early\n"


def test_a_start_is_noticed_before_a_poll_reports_it(streams: ExitStack) -> None:
    logged = running(state=State.PENDING)
    stream = follow(streams, logged)
    next(stream)
    logged.write(b"hello\n")
    assert pull(stream, 6, within=2.0) == b"hello\n"


def test_any_number_of_followers_cost_one_reader(streams: ExitStack, settings: Any) -> None:
    settings.LOG_FOLLOW_INTERVAL = 0.1
    logged = running()
    followers = [follow(streams, logged) for _ in range(6)]
    for stream in followers:
        next(stream)
    reads, began = logged.reads(), time.monotonic()
    for n in range(5):
        logged.write(b"line %d\n" % n)
        assert [pull(stream, 7) for stream in followers] == [b"line %d\n" % n] * 6
    assert logged.reads() - reads <= (time.monotonic() - began) / 0.1 + 2


def test_containers_of_one_site_are_read_in_one_round_trip(streams: ExitStack, settings: Any) -> None:
    settings.LOG_FOLLOW_INTERVAL = 0.1
    logged = running(containers=["main", "sidecar"])
    for name in ("main", "sidecar"):
        next(streams.enter_context(closing(open_log(logged.job, name, FOLLOW))))
    logged.memory.calls.clear()
    time.sleep(0.5)
    assert set(logged.memory.calls) == {("read_logs", 2)}


def test_nothing_is_read_after_the_last_follower_has_left(settings: Any) -> None:
    settings.LOG_FOLLOW_INTERVAL = 0.1
    logged = running()
    with closing(open_log(logged.job, "main", FOLLOW)) as one, closing(open_log(logged.job, "main", FOLLOW)) as other:
        next(one), next(other)
        one.close()
        logged.write(b"still here")
        assert pull(other, 10) == b"still here"
    time.sleep(0.5)
    reads = logged.reads()
    time.sleep(0.5)
    assert logged.reads() == reads
    assert f"logs-{logged.site.pk}" not in {thread.name for thread in threading.enumerate()}


def test_a_tenant_follows_no_more_logs_than_its_share(streams: ExitStack, settings: Any) -> None:
    settings.LOG_FOLLOWS_PER_TENANT = 2
    logged, others = running(), running()
    first = follow(streams, logged)
    follow(streams, logged)
    with pytest.raises(TooMany, match="2 logs"):
        follow(streams, logged)
    follow(streams, others)
    first.close()
    follow(streams, logged)


def test_followers_never_take_more_than_a_quarter_of_the_threads(streams: ExitStack, settings: Any) -> None:
    settings.WEB_THREADS = 8
    follow(streams, running())
    follow(streams, running())
    with pytest.raises(TooMany, match="Too many"):
        follow(streams, running())


def test_a_client_that_leaves_before_the_first_byte_frees_its_place(settings: Any) -> None:
    settings.LOG_FOLLOWS_PER_TENANT = 1
    logged = running()
    for _ in range(3):
        open_log(logged.job, "main", FOLLOW).close()


def test_a_silent_site_is_waited_for_and_no_text_is_lost_or_doubled(streams: ExitStack, settings: Any) -> None:
    settings.LOG_FOLLOW_INTERVAL = 0.05
    logged = running()
    stream = follow(streams, logged)
    logged.write(b"one ")
    assert pull(stream, 4) == b"one "
    logged.memory.go_silent()
    logged.write(b"two ")
    assert [next(stream) for _ in range(3)] == [b""] * 3
    logged.memory.answer_again()
    assert pull(stream, 4) == b"two "
    logged.memory.go_silent()
    logged.write(b"three")
    logged.container_ended()
    assert [next(stream) for _ in range(3)] == [b""] * 3
    logged.memory.answer_again()
    assert rest(stream) == b"three"


def test_a_site_silent_from_the_start_is_waited_for(streams: ExitStack) -> None:
    logged = running()
    logged.write(b"text")
    logged.memory.go_silent()
    stream = follow(streams, logged)
    assert next(stream) == b""
    logged.memory.answer_again()
    assert pull(stream, 4) == b"text"


def test_an_idle_follow_ends(streams: ExitStack, settings: Any) -> None:
    settings.LOG_FOLLOW_IDLE = 0.5
    logged = running()
    logged.write(b"once")
    assert rest(follow(streams, logged)) == b"once"


def test_a_follow_begins_where_the_options_say(streams: ExitStack) -> None:
    logged = running()
    logged.write(b"one\ntwo\nthr")
    stream = follow(streams, logged, LogOptions(follow=True, tail=2))
    assert pull(stream, 7) == b"two\nthr"
    logged.write(b"ee\n")
    assert pull(stream, 3) == b"ee\n"


def test_a_follow_ends_at_its_limit(streams: ExitStack) -> None:
    logged = running()
    stream = follow(streams, logged, LogOptions(follow=True, limit=6))
    logged.write(b"four")
    assert pull(stream, 4) == b"four"
    logged.write(b"four")
    assert rest(stream) == b"fo"


def test_followed_lines_carry_their_times(streams: ExitStack) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    logged = running(at=noon)
    stream = follow(streams, logged, LogOptions(follow=True, timestamps=True))
    next(stream)
    logged.write(b"one\ntw", at=noon + timedelta(seconds=1))
    assert pull(stream, 48) == b"2026-01-31T12:00:01Z one\n2026-01-31T12:00:01Z tw"
    logged.write(b"o\nthree\n", at=noon + timedelta(seconds=2))
    assert pull(stream, 29) == b"o\n2026-01-31T12:00:02Z three\n"


def test_a_slow_client_gets_text_that_the_reader_has_already_dropped(
    streams: ExitStack, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOG_FOLLOW_INTERVAL = 0.02
    for module in ("feeds", "text", "output"):
        monkeypatch.setattr(f"jobs.logs.{module}.PIECE", 16)
    logged = running()
    stream = follow(streams, logged)
    next(stream)
    written = b""
    for n in range(40):
        logged.write(b"%03d " % n)
        written += b"%03d " % n
        time.sleep(0.02)
    assert pull(stream, len(written)) == written


def test_a_requeued_job_shows_the_whole_log_of_its_next_run(streams: ExitStack) -> None:
    logged = running()
    logged.write(b"first run, much longer\n")
    stream = follow(streams, logged, LogOptions(follow=True, tail=1))
    assert pull(stream, 23) == b"first run, much longer\n"
    logged.memory.requeue(logged.job.attempt_key)
    logged.memory.start(logged.job.attempt_key)
    logged.write(b"second\nrun\n")
    logged.job.observed = {"main": {"started": 1, "restart": 1}}
    logged.job.save(update_fields=["observed"])
    assert pull(stream, 11) == b"second\nrun\n"


def test_a_log_archived_meanwhile_is_sent_to_its_end(streams: ExitStack) -> None:
    logged = running()
    stream = follow(streams, logged)
    logged.write(b"one ")
    assert pull(stream, 4) == b"one "
    logged.memory.go_silent("read_logs")
    logged.write(b"two")
    next(stream)
    logged.ended()
    logged.memory.answer_again()
    logs.archive(logged.connector, [logged.job], timezone.now())
    logged.memory.remove(logged.job.attempt_key)
    assert rest(stream) == b"two"


def test_following_a_job_cancelled_in_the_queue_ends(streams: ExitStack) -> None:
    job = make_job(state=State.QUEUED)
    stream = streams.enter_context(closing(open_log(job, "main", FOLLOW)))
    assert next(stream) == b""
    Job.objects.filter(pk=job.pk).update(state=State.CANCELLED, ended_at=timezone.now(), request=None, is_counted=False)
    assert rest(stream) == b""


def test_following_an_ended_job_returns_its_log(streams: ExitStack) -> None:
    logged = running()
    logged.write(b"all")
    logged.ended()
    assert rest(follow(streams, logged)) == b"all"


def test_an_error_in_the_reader_does_not_block_the_next_follower(
    streams: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = running()
    faults: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    next(follow(streams, logged))
    logged.memory.latency = -1.0  # an error that no connector may raise
    while not faults:
        time.sleep(0.01)
    logged.memory.latency = 0.0
    later = follow(streams, logged)
    next(later)
    logged.write(b"read")
    assert pull(later, 4) == b"read"
