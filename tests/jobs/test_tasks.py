"""The tick, and a real worker process that is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import tasks
from jobs.models import Heartbeat, Job
from jobs.states import State
from jobs.worker import due
from sites import connections
from sites.models import Site
from tests.factories import make_job, make_node, make_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controlplane.tenants.models import VirtualNode

PROJECT = Path(__file__).parents[2]


def work_at(site: Site) -> set[str]:
    return {kind for kind, site_id in due.work(now=timezone.now()) if site_id == site.pk}


@pytest.fixture
def idle(vega: Site) -> Site:
    """Vega without work: its capacity is known and its next poll is due."""
    Site.objects.update(next_capacity_at=timezone.now() + timedelta(hours=1))
    return vega


def test_a_site_without_work_gets_no_task(idle: Site) -> None:
    assert work_at(idle) == set()


def test_every_kind_of_due_row_is_found(idle: Site, node: VirtualNode) -> None:
    now = timezone.now()
    found = {}
    for kind, state, column in [
        ("submit", State.QUEUED, "next_submit_at"),
        ("submit", State.SUBMITTING, "next_find_at"),
        ("poll", State.RUNNING, "submitted_at"),
        ("cancel", State.RUNNING, "next_cancel_at"),
        ("clean", State.FAILED, "next_archive_at"),
        ("clean", State.FAILED, "next_clean_at"),
    ]:
        Job.objects.all().delete()
        fields: dict[str, Any] = {column: now}
        make_job(node=node, state=state, **fields)
        found[column] = kind in work_at(idle)
    assert all(found.values()), found


def test_rows_due_later_are_not_found(idle: Site, node: VirtualNode) -> None:
    later = timezone.now() + timedelta(minutes=1)
    make_job(node=node, next_submit_at=later)
    make_job(node=node, state=State.RUNNING, next_cancel_at=later)
    Site.objects.update(next_poll_at=later)
    assert work_at(idle) == set()


def test_a_drained_site_gets_no_submit_task(idle: Site, node: VirtualNode) -> None:
    make_job(node=node)
    Site.objects.update(enabled=False)
    assert work_at(idle) == set()


def test_the_tick_finds_all_work_in_one_statement(idle: Site) -> None:
    for _ in range(5):
        make_job(node=make_node(site=make_site())[0])
    with CaptureQueriesContext(connection) as queries:
        assert len(list(due.work(now=timezone.now()))) >= 5
    assert len(queries) == 1


def test_the_tick_records_its_heartbeat(idle: Site) -> None:
    tasks.tick()
    assert timezone.now() - Heartbeat.objects.get(name="tick").at < timedelta(seconds=5)


def test_a_task_for_a_deleted_site_does_nothing(idle: Site) -> None:
    for task in (tasks.submit, tasks.poll, tasks.cancel, tasks.clean, tasks.probe):
        task(10**9)


@pytest.mark.django_db(transaction=True)
def test_a_stopping_worker_leaves_hanging_calls_to_recovery(database_urls: dict[str, str], black_hole: int) -> None:
    site = _behind(black_hole)
    job = make_job(node=make_node(site=site)[0])
    with _worker(database_urls, drain=1) as worker:
        _hint_until(lambda: Job.objects.get(pk=job.pk).state == State.SUBMITTING, site)
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=15)
        assert time.monotonic() - began < 10
    job.refresh_from_db()
    assert job.state == State.SUBMITTING
    assert job.next_find_at is not None


@pytest.mark.django_db(transaction=True)
def test_an_idle_worker_stops_at_once(database_urls: dict[str, str]) -> None:
    site = make_site(kind="nothing")
    make_job(node=make_node(site=site)[0])
    with _worker(database_urls, drain=30) as worker:
        _hint_until(lambda: Site.objects.get(pk=site.pk).silent_since is not None, site)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=15) == 0


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a host that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def _behind(port: int) -> Site:
    """Return a Slurm site whose SSH server is at this port."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    ssh = {
        "host": "127.0.0.1",
        "port": port,
        "user": "somebody",
        "host_key": key.export_public_key().decode(),
        "connect_timeout": 60,
    }
    site = make_site(kind="slurm", config={"ssh": ssh, "runtime": {"kind": "host"}})
    connections.seal_credential(site, key.export_private_key().decode())
    site.save()
    return site


@contextmanager
def _worker(database_urls: dict[str, str], *, drain: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker process as an operator does, with the worker's database role."""
    environment = {
        **os.environ,
        "DATABASE_WORKER_URL": database_urls["worker"],
        "ISTHMUS_DATABASE_ROLE": "worker",
        "ISTHMUS_WORKER_DRAIN": str(drain),
    }
    argv = [sys.executable, "-m", "celery", "-A", "controlplane", "worker", "-P", "threads", "-c", "2"]
    worker = subprocess.Popen(argv, cwd=PROJECT, env=environment)
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def _hint_until(condition: Callable[[], bool], site: Site) -> None:
    """Send a hint repeatedly, as the tick does: a hint sent before the worker listens is lost."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        tasks.send_hint("submit", site.pk)
        time.sleep(0.5)


def test_a_task_survives_postgresql_being_away() -> None:
    assert {OperationalError, InterfaceError, psycopg.OperationalError} <= set(tasks.tick.throws)
