"""The in-memory connector's failures: each leaves the site as a real one would be left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sites.connectors.base import ABSENT, InDoubt, Rejected, Unreachable
from sites.connectors.config import BadConfig
from sites.connectors.memory.connector import MemoryConnector
from sites.connectors.memory.job import Behaviour
from sites.connectors.memory.site import forget_memory_sites, memory_site
from sites.workload import Container, JobRef, Phase, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.connectors.memory.site import MemorySite


@pytest.fixture
def site() -> Iterator[MemorySite]:
    yield memory_site("test")
    forget_memory_sites()


@pytest.fixture
def connector(site: MemorySite) -> MemoryConnector:
    return MemoryConnector.from_config({"name": site.name})


def workload(key: str = "a1", pod: str = "research/one", init: tuple[str, ...] = ()) -> Workload:
    return Workload(
        key=key,
        folder=f"jobs/{key}",
        pod=pod,
        containers=(Container("main", "busybox"),),
        init_containers=tuple(Container(name, "busybox") for name in init),
    )


def ref(key: str = "a1", native_id: str = "") -> JobRef:
    return JobRef(key=key, native_id=native_id, folder=f"jobs/{key}")


def test_two_connectors_of_one_name_use_one_site(connector: MemoryConnector) -> None:
    connector.submit([workload()])
    assert "a1" in MemoryConnector.from_config({"name": "test"}).poll([ref()]).reports
    assert MemoryConnector.from_config({"name": "another"}).poll([ref()]).reports == {}


def test_a_site_without_a_name_is_refused() -> None:
    with pytest.raises(BadConfig, match="'name' is missing"):
        MemoryConnector.from_config({})


def test_a_silent_site_does_nothing_until_it_answers_again(connector: MemoryConnector, site: MemorySite) -> None:
    site.go_silent()
    with pytest.raises(Unreachable, match="The site test does not answer"):
        connector.submit([workload()])
    with pytest.raises(Unreachable):
        connector.capacity()
    site.answer_again()
    assert connector.find([ref()]) == {"a1": ABSENT}


def test_a_site_can_be_silent_for_one_operation_only(connector: MemoryConnector, site: MemorySite) -> None:
    site.go_silent("cancel", message="scancel hangs")
    connector.submit([workload()])
    with pytest.raises(Unreachable, match="scancel hangs"):
        connector.cancel([ref()])
    assert connector.poll([ref()]).reports["a1"].phase is Phase.PENDING


def test_a_lost_answer_leaves_the_work_done(connector: MemoryConnector, site: MemorySite) -> None:
    site.lose_answer("submit")
    with pytest.raises(Unreachable):
        connector.submit([workload()])
    native_id = connector.find([ref()])["a1"]
    assert connector.poll([ref()]).reports["a1"].native_id == native_id
    assert isinstance(connector.submit([workload()])["a1"], InDoubt)
    assert site.submissions == {"a1": 1}


def test_keys_missing_from_a_partial_answer_are_still_carried_out(connector: MemoryConnector, site: MemorySite) -> None:
    site.answer_only(1)
    answers = connector.submit([workload("a1"), workload("b2")])
    assert list(answers) == ["a1"]
    assert site.keys() == ["a1", "b2"]
    assert len(connector.poll([ref("a1"), ref("b2")]).reports) == 2


def test_a_refused_pod_never_starts_and_others_do(connector: MemoryConnector, site: MemorySite) -> None:
    no = Rejected("The partition nowhere does not exist.", reason="InvalidPartition")
    site.refuse(no, pod="research/bad")
    answers = connector.submit([workload("a1"), workload("b2", "research/bad")])
    assert answers["b2"] is no
    assert connector.find([ref("b2")]) == {"b2": ABSENT}
    assert site.keys() == ["a1"]


def test_a_forgotten_job_is_in_no_poll_and_may_reappear(connector: MemoryConnector, site: MemorySite) -> None:
    connector.submit([workload()])
    site.forget("a1")
    assert connector.poll([ref()]).reports == {}
    site.remember("a1")
    assert connector.poll([ref()]).reports["a1"].phase is Phase.PENDING


def test_a_recycled_native_id_is_not_our_job(connector: MemoryConnector) -> None:
    connector.submit([workload()])
    assert connector.poll([ref("a1", "999")]).reports == {}
    connector.cancel([ref("a1", "999")])
    assert connector.poll([ref("a1")]).reports["a1"].phase is Phase.PENDING


def test_a_scripted_job_runs_by_the_sites_own_clock(connector: MemoryConnector, site: MemorySite) -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    site.clock = lambda: start
    site.behave(Behaviour(starts_after=10, runs_for=5, exit_codes={"main": 3}, logs={"main": b"so long\n"}))
    connector.submit([workload()])
    assert connector.poll([ref()]).reports["a1"].phase is Phase.PENDING
    site.clock = lambda: start + timedelta(seconds=60)
    report = connector.poll([ref()]).reports["a1"]
    assert report.phase is Phase.FAILED
    assert report.started_at == start + timedelta(seconds=10)
    assert report.ended_at == start + timedelta(seconds=15)
    assert [(c.name, c.exit_code) for c in report.containers] == [("main", 3)]


def test_a_failing_init_container_ends_the_job_before_the_others(connector: MemoryConnector, site: MemorySite) -> None:
    site.behave(Behaviour(starts_after=0, exit_codes={"fetch": 2}))
    connector.submit([workload(init=("fetch", "unpack"))])
    report = connector.poll([ref()]).reports["a1"]
    assert report.phase is Phase.FAILED
    assert [(c.name, c.exit_code) for c in report.containers] == [("fetch", 2)]


def test_a_requeued_job_starts_from_nothing(connector: MemoryConnector, site: MemorySite) -> None:
    connector.submit([workload()])
    site.start("a1")
    site.requeue("a1")
    report = connector.poll([ref()]).reports["a1"]
    assert (report.phase, report.restart, report.started_at) == (Phase.PENDING, 1, None)
    site.finish("a1", 4)
    report = connector.poll([ref()]).reports["a1"]
    assert [(c.exit_code, c.restart) for c in report.containers] == [(4, 1)]


def test_the_site_can_end_a_job_with_its_own_reason(connector: MemoryConnector, site: MemorySite) -> None:
    connector.submit([workload()])
    site.start("a1")
    site.end("a1", Phase.FAILED, "OOMKilled", "The job used more memory than it asked for.", 137)
    report = connector.poll([ref()]).reports["a1"]
    assert (report.reason, report.exit_code, report.containers[0].exit_code) == ("OOMKilled", 137, 137)


def test_every_call_is_counted_with_its_items(connector: MemoryConnector, site: MemorySite) -> None:
    connector.submit([workload("a1"), workload("b2")])
    connector.poll([ref("a1"), ref("b2")])
    assert list(site.calls) == [("submit", 2), ("poll", 2)]
