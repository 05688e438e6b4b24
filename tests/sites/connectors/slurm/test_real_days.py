"""A real Slurm over SSH, with its controller stopped or its connections cut: each job exists once or never."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sites.connections import open_connector
from sites.connectors.base import ABSENT, InDoubt, Unreachable
from sites.workload import Container, Demand, Phase, Workload
from tests.backends.control import (
    batch_jobs,
    cut_ssh_sessions,
    live_batch_jobs,
    start_slurmctld,
    stop_slurmctld,
)
from tests.sites.stand_in import ref_of
from tests.sites.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sites.connectors.base import Connector, Found
    from tests.backends.control import Backends

BASE = ".isthmus-days/jobs"


@pytest.fixture
def slurm(ssh_backend: Backends) -> Iterator[Connector]:
    ssh = {
        "host": ssh_backend.ssh_host,
        "port": ssh_backend.ssh_port,
        "user": ssh_backend.user,
        "host_key": ssh_backend.known_hosts.read_text(),
    }
    env = {"SLURM_CONF": ssh_backend.slurm_conf}
    connector = open_connector(
        "slurm", {"ssh": ssh, "runtime": {"kind": "host"}, "env": env}, ssh_backend.key.read_text()
    )
    yield connector
    connector.close()


def waiting(*command: str) -> Workload:
    """Return a pod that stays in the queue: these tests count batch jobs, not what the jobs do."""
    key = secrets.token_hex(20)
    main = Container("main", "", command=command or ("true",))
    return Workload(key, f"{BASE}/{key}", "days/pod", (main,), demand=Demand(partition="closed"))


def cut_once_begun(backends: Backends, workloads: Sequence[Workload]) -> None:
    """Cut the connections once the first of these batch jobs exists. 200 of them take Slurm a second or more."""
    names = {f"isthmus-{workload.key}" for workload in workloads}
    deadline = time.monotonic() + 60
    while names.isdisjoint(live_batch_jobs(backends)) and time.monotonic() < deadline:
        time.sleep(0.01)
    cut_ssh_sessions(backends)


def settle(slurm: Connector, workloads: Sequence[Workload]) -> dict[str, Found]:
    """Call `find` until nothing is in doubt, as recovery does."""
    deadline = time.monotonic() + 90
    while True:
        found = dict(slurm.find([ref_of(workload) for workload in workloads]))
        if not any(isinstance(answer, InDoubt) for answer in found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(1)


def assert_each_once_or_never(backends: Backends, found: dict[str, Found]) -> None:
    counted = batch_jobs(backends)
    for key, answer in found.items():
        assert counted[f"isthmus-{key}"] == (0 if answer is ABSENT else 1), (key, answer)


def remove(slurm: Connector, workloads: Sequence[Workload], found: dict[str, Found]) -> None:
    refs = [ref_of(workload, found[workload.key]) for workload in workloads]
    slurm.cancel(refs)
    slurm.clean(refs)


def test_a_connection_cut_during_a_batch_loses_and_doubles_nothing(slurm: Connector, ssh_backend: Backends) -> None:
    slurm.capacity()
    workloads = [waiting() for _ in range(200)]
    blow = threading.Thread(target=cut_once_begun, args=(ssh_backend, workloads))
    blow.start()
    with pytest.raises(Unreachable):
        slurm.submit(workloads)
    blow.join()
    found = settle(slurm, workloads)
    assert len(found) == 200
    assert_each_once_or_never(ssh_backend, found)
    remove(slurm, workloads, found)


def test_a_stopped_controller_takes_nothing_loses_nothing_and_comes_back(
    slurm: Connector, ssh_backend: Backends
) -> None:
    before = [waiting() for _ in range(2)]
    refs = [ref_of(workload, native) for workload, native in zip(before, _submitted(slurm, before), strict=True)]
    late = [waiting() for _ in range(5)]
    stop_slurmctld(ssh_backend)
    try:
        with pytest.raises(Unreachable):
            slurm.poll(refs)
        with pytest.raises(Unreachable):
            slurm.submit(late)
    finally:
        start_slurmctld(ssh_backend)
    assert {report.phase for report in slurm.poll(refs).reports.values()} == {Phase.PENDING}
    found = settle(slurm, late)
    assert set(found.values()) == {ABSENT}
    assert_each_once_or_never(ssh_backend, found)
    remove(slurm, before, {ref.key: ref.native_id for ref in refs})
    remove(slurm, late, found)


def test_containers_of_cancelled_jobs_report_how_they_ended(slurm: Connector) -> None:
    # Slurm signals the batch script and its containers at once, and a shell may then misread how one ended.
    workloads = [replace(waiting("sleep", "60"), demand=Demand()) for _ in range(8)]
    refs = [ref_of(workload, native) for workload, native in zip(workloads, _submitted(slurm, workloads), strict=True)]
    watch = Watch(slurm, refs)
    watch.until(lambda: all(watch.containers.values()))
    slurm.cancel(refs)
    watch.until_ended()
    assert [watch.exit_codes(ref.key) for ref in refs] == [{"main": 143}] * 8
    assert {report.exit_code for report in watch.reports.values()} == {143}
    slurm.clean(refs)


def _submitted(slurm: Connector, workloads: Sequence[Workload]) -> list[str]:
    answers = slurm.submit(workloads)
    return [str(answers[workload.key]) for workload in workloads]
