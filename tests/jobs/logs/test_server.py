"""Following through a real web server: errors that only a server can make."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import override_settings
from django.utils import timezone

from controlplane.ops.serve import granian_command
from jobs.models import ArchivedLog, Job
from jobs.states import State
from sites.connections import connector_for
from sites.workload import Container, JobRef, Workload
from tests.backends.control import find_backends
from tests.backends.fixtures import START, unavailable
from tests.factories import make_job, make_node, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.models import Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

#: One line every half second, each with the time at which it was written.
TICKS = "for n in 1 2 3 4 5 6; do date +%s.%N; sleep 0.5; done"


@pytest.fixture(scope="module")
def server(database_urls: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """A web process with one connection to PostgreSQL and one follower per tenant: its URL and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_WEB_URL": database_urls["web"],
        "ISTHMUS_DATABASE_ROLE": "web",
        "ISTHMUS_DATABASE_POOL": "1",
        "ISTHMUS_LOG_FOLLOWS_PER_TENANT": "1",
    }
    with override_settings(WEB_PROCESSES=1):
        command = granian_command(host="127.0.0.1", port=port)
    process = subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR)
    try:
        url = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(url), within=30)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(40)


@pytest.fixture
def site() -> Site:
    """This host as a site, which runs jobs as our own user, or for root as the backends' account."""
    config: dict[str, Any] = {"base": ".isthmus-logs/jobs", "runtime": {"kind": "host", "grace": 1}}
    if os.geteuid() == 0:
        backends = find_backends() or unavailable(f"As root there is no user to run jobs as: {START}.")
        config["user"] = backends.user
    return make_site(kind="local", config=config)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).ok
    except requests.RequestException:
        return False


def _until(condition: Any, *, within: float) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.05)


@contextmanager
def asked(url: str, token: str, job: Job, **opts: Any) -> Iterator[requests.Response]:
    """Send /getLogs as the kubelet does (GET with a body). Returns the answer once its headers are there."""
    body = json.dumps({"PodUID": str(job.pod_uid), "ContainerName": "main", "Opts": opts})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with requests.get(f"{url}/getLogs", data=body, headers=headers, stream=True, timeout=30) as response:
        yield response


def started(site: Site, shell: str) -> tuple[Job, str, JobRef]:
    """Return a job that really runs at `site`."""
    node, token = make_node(site=site)
    job = make_job(state=State.RUNNING, node=node)
    job.folder = f"{site.config['base']}/{job.attempt_key}"
    container = Container("main", "busybox", command=("/bin/sh", "-c", shell))
    workload = Workload(key=job.attempt_key, folder=job.folder, pod=str(job), containers=(container,))
    answer = connector_for(site).submit([workload])[job.attempt_key]
    assert isinstance(answer, str), answer
    job.native_id = answer
    job.save(update_fields=["folder", "native_id"])
    return job, token, job.ref


def test_each_line_of_a_real_job_arrives_within_two_seconds(server: tuple[str, psutil.Process], site: Site) -> None:
    job, token, ref = started(site, TICKS)
    late = []
    try:
        with asked(server[0], token, job, Follow=True) as response:
            assert response.status_code == 200
            for line in response.iter_lines(chunk_size=None):
                late.append(time.time() - float(line))
                if len(late) == 6:
                    observed = {"main": {"started": 1, "ended": int(time.time()), "code": 0}}
                    Job.objects.filter(pk=job.pk).update(observed=observed)
    finally:
        connector_for(site).cancel([ref])
        connector_for(site).clean([ref])
    assert len(late) == 6
    # The first line waits for our request, not for the reader.
    assert max(late[1:]) < 2


def test_headers_come_at_once_and_a_client_that_leaves_frees_its_place(server: tuple[str, psutil.Process]) -> None:
    node, token = make_node()
    job = make_job(node=node)
    with asked(server[0], token, job, Follow=True) as waiting:
        assert waiting.status_code == 200
        with asked(server[0], token, job, Follow=True) as refused:
            assert refused.status_code == 429
            assert refused.text.endswith(".")

    def is_free() -> bool:
        with asked(server[0], token, job, Follow=True) as response:
            return response.status_code == 200

    _until(is_free, within=5)


def test_waiting_followers_hold_no_database_connection(server: tuple[str, psutil.Process]) -> None:
    """The server has one connection. If each of six followers held it for a second, the seventh would be late."""
    (token, job), *others = [(token, make_job(node=node)) for node, token in (make_node() for _ in range(7))]
    began = time.monotonic()
    with ExitStack() as streams:
        for their_token, theirs in others:
            response = streams.enter_context(asked(server[0], their_token, theirs, Follow=True))
            assert response.status_code == 200
        with asked(server[0], token, job) as response:
            assert (response.status_code, response.content) == (200, b"")
        assert time.monotonic() - began < 4


def test_fifty_mebibytes_pass_through_a_server_with_bounded_memory(server: tuple[str, psutil.Process]) -> None:
    node, token = make_node()
    job = make_job(node=node, state=State.SUCCEEDED)
    size = 50 << 20
    path = storages["logs"].save(f"large/{job.key}.gz", ContentFile(gzip.compress(bytes(size))))
    ArchivedLog.objects.create(job=job, container="main", path=path, size=size, archived_at=timezone.now())
    before = memory_of(server[1])
    with asked(server[0], token, job) as response:
        time.sleep(1)  # a slow client: the server must wait for it, not read ahead
        most, got = memory_of(server[1]), 0
        for chunk in response.iter_content(1 << 20):
            got += len(chunk)
            most = max(most, memory_of(server[1]))
    assert got == size
    assert most - before < 25 << 20


def memory_of(process: psutil.Process) -> int:
    """Return the resident bytes of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return sum(member.memory_info().rss for member in family)
