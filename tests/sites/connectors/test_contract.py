"""Every promise of `sites/connectors/base.py`, tested with every connector: in memory, local, and a real Slurm."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from sites.connectors.base import ABSENT, Absent, InDoubt, LogRequest, Rejected, Unreachable
from sites.workload import Container, File, JobRef, Mount, Phase, Volume
from tests.sites.site_kinds import FAILS_WITH_3, RUNS_LONG, SAYS_HELLO, SiteKind, Task
from tests.sites.watch import Watch
from tests.threads import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sites.connectors.base import Connector
    from sites.workload import Report, Workload

UNKNOWN = JobRef("0" * 32, "999999999", ".isthmus-contract/jobs/" + "0" * 32)


@dataclass(frozen=True)
class Ended:
    """A batch of jobs, submitted in one call and all ended, by what they did."""

    refs: dict[str, JobRef]
    watch: Watch

    def report(self, name: str) -> Report:
        return self.watch.reports[self.refs[name].key]

    def exit_codes(self, name: str) -> dict[str, int | None]:
        return self.watch.exit_codes(self.refs[name].key)


@pytest.fixture(scope="module")
def ended(site: SiteKind) -> Ended:
    binary = Task(r"printf '\001\377\n\\n no newline'", b"\x01\xff\n\\n no newline")
    pods = {
        "hello": site.workload(),
        "fails": site.workload(main=FAILS_WITH_3),
        "binary": site.workload(main=binary),
        "silent": site.workload(main=Task("true")),
        "parallel": site.workload(one=SAYS_HELLO, two=FAILS_WITH_3, three=Task("exit 5", exit_code=5)),
        "init": site.workload({"first": Task("echo 1", b"1\n"), "second": SAYS_HELLO}, main=SAYS_HELLO),
        "bad init": site.workload({"first": FAILS_WITH_3, "second": SAYS_HELLO}, main=SAYS_HELLO),
    }
    refs = dict(zip(pods, site.start(*pods.values()), strict=True))
    watch = Watch(site.connector, list(refs.values()))
    watch.until_ended()
    return Ended(refs, watch)


@pytest.fixture(autouse=True)
def tidy(site: SiteKind, ended: Ended) -> Iterator[None]:
    yield
    site.tidy(*(ref.key for ref in ended.refs.values()))


# submit


def test_a_batch_is_answered_by_key_with_distinct_native_ids(ended: Ended) -> None:
    assert len({ref.native_id for ref in ended.refs.values()}) == len(ended.refs)
    assert all(ended.report(name).native_id == ref.native_id for name, ref in ended.refs.items())


def test_submitting_nothing_is_not_an_error(site: SiteKind) -> None:
    assert dict(site.connector.submit([])) == {}


def test_submitting_a_key_again_is_in_doubt_and_starts_nothing(site: SiteKind) -> None:
    workload = site.workload(main=RUNS_LONG)
    (ref,) = site.start(workload)
    again = site.connector.submit([workload])
    assert isinstance(again[workload.key], InDoubt)
    assert site.connector.find([ref]) == {ref.key: ref.native_id}
    assert site.batch_jobs(ref.key) == 1


def test_many_threads_that_submit_one_key_start_one_batch_job(site: SiteKind) -> None:
    workload = site.workload(main=RUNS_LONG)
    answers = at_once(*[lambda: site.connector.submit([workload])[workload.key]] * 6)
    native_ids = [answer for answer in answers if isinstance(answer, str)]
    assert len(native_ids) == 1
    assert all(isinstance(answer, str | InDoubt) for answer in answers)
    assert site.batch_jobs(workload.key) == 1


def test_one_refused_workload_does_not_stop_the_others(site: SiteKind) -> None:
    refused = site.impossible() or pytest.skip("this site refuses nothing")
    accepted = site.workload()
    answers = site.connector.submit([refused, accepted])
    refusal = answers[refused.key]
    assert isinstance(refusal, Rejected)
    assert refusal.message.endswith(".")
    assert refusal.reason.isalnum()
    assert isinstance(answers[accepted.key], str)
    assert site.batch_jobs(refused.key) == 0


# find


def test_find_before_submit_fences_the_attempt_for_good(site: SiteKind) -> None:
    workload = site.workload()
    ref = site.ref(workload)
    assert site.connector.find([ref]) == {ref.key: ABSENT}
    assert not isinstance(site.connector.submit([workload])[ref.key], str)
    assert site.connector.find([ref]) == {ref.key: ABSENT}
    assert ref.key not in site.connector.poll([ref]).reports
    assert site.batch_jobs(ref.key) == 0


def test_find_after_submit_returns_the_native_id_of_each(site: SiteKind, ended: Ended) -> None:
    unsure = [replace(ref, native_id="") for ref in ended.refs.values()]
    unknown = site.ref(site.workload())
    found = site.connector.find([*unsure, unknown])
    assert found == {ref.key: ref.native_id for ref in ended.refs.values()} | {unknown.key: ABSENT}


def test_a_race_of_submit_and_find_ends_with_a_job_or_with_a_fence(site: SiteKind) -> None:
    for _ in range(4):
        workload = site.workload(main=Task("true"))
        with ThreadPoolExecutor(2) as threads:
            submitted = threads.submit(site.connector.submit, [workload])
            found = threads.submit(site.connector.find, [site.ref(workload)])
        # Whatever each call returned, a second find returns the truth, and it agrees with both.
        settled = site.connector.find([site.ref(workload)])[workload.key]
        started = submitted.result()[workload.key]
        assert site.batch_jobs(workload.key) == (0 if isinstance(settled, Absent) else 1)
        assert started == settled if isinstance(started, str) else isinstance(settled, Absent)
        assert not isinstance(found.result()[workload.key], Absent) or isinstance(settled, Absent)


# poll


def test_jobs_that_the_site_does_not_know_are_absent_from_the_answer(site: SiteKind, ended: Ended) -> None:
    assert set(site.connector.poll([UNKNOWN, ended.refs["hello"]]).reports) == {ended.refs["hello"].key}
    assert dict(site.connector.poll([]).reports) == {}


def test_a_native_id_of_another_job_is_not_known(site: SiteKind) -> None:
    (ref,) = site.start(site.workload(main=RUNS_LONG))
    Watch(site.connector, [ref]).until_phase(Phase.RUNNING)
    stranger = replace(UNKNOWN, native_id=ref.native_id)
    assert dict(site.connector.poll([stranger]).reports) == {}
    site.connector.cancel([stranger])
    time.sleep(1.0 if site.real else 0.0)  # the time that a wrong cancellation would take
    assert site.connector.poll([ref]).reports[ref.key].phase is Phase.RUNNING


def test_a_waiting_job_is_pending_and_says_why(site: SiteKind) -> None:
    (ref,) = site.start(site.waiting() or pytest.skip("nothing waits at this site"))
    report = site.connector.poll([ref]).reports[ref.key]
    assert report.phase is Phase.PENDING
    assert report.reason.isalnum()
    assert report.message.endswith(".")
    assert (report.started_at, report.ended_at, report.containers) == (None, None, ())


def test_a_running_job_reports_its_start_and_its_containers(site: SiteKind) -> None:
    (ref,) = site.start(site.workload(one=RUNS_LONG, two=RUNS_LONG))
    watch = Watch(site.connector, [ref])
    watch.until(lambda: len(watch.containers[ref.key]) == 2)
    report = watch.reports[ref.key]
    assert report.phase is Phase.RUNNING
    assert report.started_at is not None
    assert report.ended_at is None
    assert watch.exit_codes(ref.key) == {"one": None, "two": None}
    assert all(container.started_at for container in watch.containers[ref.key].values())


def test_a_successful_job_reports_its_codes_times_and_usage(ended: Ended) -> None:
    report = ended.report("hello")
    assert report.phase is Phase.SUCCEEDED
    assert report.exit_code is None
    assert ended.exit_codes("hello") == {"main": 0}
    assert report.started_at is not None
    assert report.ended_at is not None
    assert report.started_at.tzinfo is not None
    assert report.started_at <= report.ended_at
    assert abs(report.ended_at.timestamp() - time.time()) < 600
    assert (report.cpus or 0) >= 1
    assert report.nodes == 1
    assert report.restart == 0


def test_a_containers_own_exit_code_is_kept(ended: Ended) -> None:
    assert ended.report("fails").phase is Phase.FAILED
    assert ended.report("fails").exit_code is None
    assert ended.exit_codes("fails") == {"main": 3}


def test_containers_run_side_by_side_and_each_has_its_code(ended: Ended) -> None:
    assert ended.report("parallel").phase is Phase.FAILED
    assert ended.exit_codes("parallel") == {"one": 0, "two": 3, "three": 5}


def test_init_containers_run_in_order_before_the_others(ended: Ended) -> None:
    assert ended.report("init").phase is Phase.SUCCEEDED
    assert ended.exit_codes("init") == {"first": 0, "second": 0, "main": 0}
    run = ended.watch.containers[ended.refs["init"].key]
    moments = [moment for name in ("first", "second", "main") for moment in (run[name].started_at, run[name].ended_at)]
    assert moments == sorted(moment for moment in moments if moment is not None)


def test_a_failing_init_container_ends_the_job_and_nothing_is_invented(ended: Ended) -> None:
    assert ended.report("bad init").phase is Phase.FAILED
    assert ended.exit_codes("bad init") == {"first": 3}


def test_events_are_reported_until_they_are_confirmed(site: SiteKind) -> None:
    (ref,) = site.start(site.workload())
    told: set[str] = set()
    deadline = time.monotonic() + 60
    while not (report := site.connector.poll([ref]).reports[ref.key]).phase.is_end or len(report.events) < 2:
        assert told <= set(report.events)
        assert time.monotonic() < deadline
        told = set(report.events)
        time.sleep(0.1)
    assert site.connector.poll([ref]).reports[ref.key].events
    assert site.connector.poll([ref], report.events).reports[ref.key].events == ()
    assert site.connector.poll([ref]).reports[ref.key].events == ()


def test_events_may_be_confirmed_twice_and_after_their_job_was_cleaned(site: SiteKind) -> None:
    (ref,) = site.start(site.workload(main=RUNS_LONG))
    Watch(site.connector, [ref]).until(lambda: bool(site.connector.poll([ref]).reports[ref.key].events))
    events = site.connector.poll([ref]).reports[ref.key].events
    site.connector.poll([ref], events)
    site.connector.poll([ref], events)
    site.connector.cancel([ref])
    Watch(site.connector, [ref]).until_ended()
    site.connector.clean([ref])
    assert dict(site.connector.poll([], events).reports) == {}


def test_a_poll_reports_how_long_it_kept_the_scheduler_busy(site: SiteKind, ended: Ended) -> None:
    seconds = site.connector.poll([ended.refs["hello"]]).scheduler_seconds
    assert 0 <= seconds < 60


# cancel


def test_cancelling_a_running_job_ends_it(site: SiteKind) -> None:
    (ref,) = site.start(site.workload(main=RUNS_LONG))
    watch = Watch(site.connector, [ref])
    watch.until(lambda: bool(watch.containers[ref.key]))
    site.connector.cancel([ref])
    watch.until_ended()
    report = watch.reports[ref.key]
    assert report.phase is Phase.CANCELLED
    assert report.exit_code == 143
    assert report.started_at is not None
    assert report.ended_at is not None


def test_cancelling_a_waiting_job_prevents_its_start(site: SiteKind) -> None:
    (ref,) = site.start(site.waiting() or pytest.skip("nothing waits at this site"))
    site.connector.cancel([ref])
    watch = Watch(site.connector, [ref])
    watch.until_ended()
    assert watch.reports[ref.key].phase is Phase.CANCELLED
    assert watch.containers[ref.key] == {}


def test_cancelling_a_finished_or_unknown_job_is_not_an_error(site: SiteKind, ended: Ended) -> None:
    site.connector.cancel([ended.refs["hello"], UNKNOWN])
    site.connector.cancel([])
    assert site.connector.poll([ended.refs["hello"]]).reports[ended.refs["hello"].key].phase is Phase.SUCCEEDED


# read_logs


def test_logs_are_exactly_the_containers_output(site: SiteKind, ended: Ended) -> None:
    asked = [
        LogRequest(ended.refs["binary"], "main"),
        LogRequest(ended.refs["init"], "first"),
        LogRequest(ended.refs["parallel"], "two"),
        LogRequest(ended.refs["silent"], "main"),
        LogRequest(ended.refs["hello"], "main"),
    ]
    expected = [b"\x01\xff\n\\n no newline", b"1\n", b"about to fail\n", b"", b"hello\nworld\n"]
    assert site.connector.read_logs(asked) == expected


def test_a_piece_of_a_log_is_cut_by_bytes(site: SiteKind, ended: Ended) -> None:
    def asked(offset: int, limit: int) -> LogRequest:
        return LogRequest(ended.refs["hello"], "main", offset, limit)

    pieces = site.connector.read_logs([asked(0, 5), asked(6, 3), asked(6, 1000), asked(12, 10), asked(99, 10)])
    assert pieces == [b"hello", b"wor", b"world\n", b"", b""]


def test_a_missing_log_is_returned_as_none(site: SiteKind, ended: Ended) -> None:
    hello = LogRequest(ended.refs["hello"], "main")
    missing = [LogRequest(ended.refs["hello"], "nobody"), LogRequest(ended.refs["bad init"], "main")]
    assert site.connector.read_logs([*missing, LogRequest(UNKNOWN, "main"), hello]) == [
        None,
        None,
        None,
        b"hello\nworld\n",
    ]
    assert site.connector.read_logs([]) == []


def test_the_index_gives_the_log_size_at_each_time(site: SiteKind, ended: Ended) -> None:
    (index,) = site.connector.read_logs([LogRequest(ended.refs["hello"], "main", part="index")])
    assert index is not None
    entries = [tuple(map(int, line.split())) for line in index.splitlines()]
    assert entries == sorted(entries)
    assert entries[-1][1] == len(b"hello\nworld\n")
    assert abs(entries[-1][0] - time.time()) < 600


def test_the_log_of_a_running_job_can_be_read(site: SiteKind) -> None:
    (ref,) = site.start(site.workload(main=RUNS_LONG))
    Watch(site.connector, [ref]).until(lambda: site.connector.read_logs([LogRequest(ref, "main")]) == [b"working\n"])


# capacity, clean, close


def test_capacity_describes_partitions_one_of_them_the_default(site: SiteKind) -> None:
    partitions = site.connector.capacity()
    assert [partition.name for partition in partitions if partition.default]
    assert len({partition.name for partition in partitions}) == len(partitions)
    assert all(partition.nodes and partition.cpus and partition.memory for partition in partitions)


def test_cleaning_removes_a_jobs_files_and_may_be_repeated(site: SiteKind) -> None:
    (ref,) = site.start(site.workload())
    Watch(site.connector, [ref]).until_ended()
    site.connector.clean([ref, UNKNOWN])
    site.connector.clean([ref])
    site.connector.clean([])
    assert site.connector.read_logs([LogRequest(ref, "main")]) == [None]


def test_jobs_continue_when_their_connector_is_closed(site: SiteKind) -> None:
    worker = site.reopened()
    workload = site.workload(main=RUNS_LONG)
    native_id = worker.submit([workload])[workload.key]
    worker.close()
    Watch(site.connector, [site.ref(workload, native_id)]).until_phase(Phase.RUNNING)


def test_a_site_that_does_not_answer_is_unreachable_for_every_call(site: SiteKind) -> None:
    away: Connector = site.unreachable() or pytest.skip("this site cannot be unreachable")
    workload = site.workload()
    ref = site.ref(workload)
    asked: list[Callable[[], object]] = [
        lambda: away.submit([workload]),
        lambda: away.poll([ref]),
        lambda: away.find([ref]),
        lambda: away.cancel([ref]),
        lambda: away.read_logs([LogRequest(ref, "main")]),
        lambda: away.capacity(),
        lambda: away.clean([ref]),
    ]
    for ask in asked:
        with pytest.raises(Unreachable, match=r"\w.*\.$"):
            ask()
    away.close()


# real runs


def content(pod: Workload, shell: str, **changes: object) -> Workload:
    container = replace(pod.containers[0], command=("/bin/sh", "-c", shell), **changes)  # type: ignore[arg-type]
    return replace(pod, containers=(container,))


def log_of(site: SiteKind, workload: Workload) -> bytes | None:
    (ref,) = site.start(workload)
    Watch(site.connector, [ref]).until_ended()
    return site.connector.read_logs([LogRequest(ref, "main")])[0]


HOSTILE = "two\nlines; $(id) `id` 'q' \"q\" \\ é"


def test_variables_of_any_name_arrive_byte_for_byte(real_site: SiteKind) -> None:
    pod = real_site.workload()
    env = (("app.ini", HOSTILE), ("SECRET", HOSTILE), ("EMPTY", ""))
    container = Container("main", "busybox:1.36", command=("/usr/bin/env", "-0"), env=env)
    log = log_of(real_site, replace(pod, containers=(container,)))
    assert log is not None
    assert {f"{name}={value}".encode() for name, value in env} <= set(log.split(b"\0"))


def test_arguments_arrive_byte_for_byte(real_site: SiteKind) -> None:
    pod = real_site.workload()
    command = ("/bin/sh", "-c", 'printf "<%s>" "$@"', "sh")
    container = Container("main", "busybox:1.36", command=command, args=(HOSTILE, "", "-n"))
    assert log_of(real_site, replace(pod, containers=(container,))) == f"<{HOSTILE}><><-n>".encode()


def test_files_of_volumes_arrive_byte_for_byte(mounting_site: SiteKind) -> None:
    secret = b"\x00\xff binary\n$(id)"
    pod = content(
        mounting_site.workload(),
        "od -An -tx1 /etc/keys/deep/key | tr -d ' \\n'; cat /data/app.conf",
        mounts=(Mount("keys", "/etc/keys"), Mount("settings", "/data/app.conf", sub_path="app.conf")),
    )
    volumes = (
        Volume("keys", (File("deep/key", secret, 0o600),)),
        Volume("settings", (File("app.conf", b"colour = blue\n"),)),
    )
    assert log_of(mounting_site, replace(pod, volumes=volumes)) == secret.hex().encode() + b"colour = blue\n"


def test_containers_share_an_empty_dir(mounting_site: SiteKind) -> None:
    pod = mounting_site.workload({"writer": Task("echo shared > /work/file")}, main=Task("cat /work/file"))
    mount = (Mount("scratch", "/work"),)
    pod = replace(
        pod,
        init_containers=(replace(pod.init_containers[0], mounts=mount),),
        containers=(replace(pod.containers[0], mounts=mount),),
        volumes=(Volume("scratch", writable=True),),
    )
    assert log_of(mounting_site, pod) == b"shared\n"


def test_a_container_sees_its_image_and_not_the_host(mounting_site: SiteKind) -> None:
    pod = content(mounting_site.workload(), 'readlink /bin/ls; echo "$FROM_IMAGE"; ls /home')
    assert log_of(mounting_site, pod) == b"busybox\nyes\n"
