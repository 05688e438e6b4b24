"""The wire as a kubelet meets it: a real web server, and a PostgreSQL that stops and starts again."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import requests

from tests.factories import make_pod, make_request
from tests.kills.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.embedded.server import Server

SEED = """
import django, json; django.setup()
from tests.factories import make_node
print(json.dumps(make_node()[1]))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    with pytest.MonkeyPatch.context() as environ:
        for name in [name for name in os.environ if name.startswith(("DATABASE_", "REDIS_"))]:
            environ.delenv(name)  # the test starts servers that it can stop
        stack = Stack(folder, {"ISTHMUS_WEB_PROCESSES": "1"})
    with stack:
        stack.manage("manage.py", "prepare_database")
        stack.start("web")
        stack.wait_until_up()
        yield stack


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    return str(json.loads(stack.manage("-c", SEED)))


def test_idle_connections_are_closed_after_five_seconds_without_announcement(stack: Stack, token: str) -> None:
    with _connection(stack) as used, _connection(stack) as silent:
        used.sendall(_ping(token))
        answer = b""
        while not answer.endswith(b"}"):
            answer += used.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" not in answer.lower()
        began = time.monotonic()
        assert used.recv(1) == b""
        assert silent.recv(1) == b""
        assert 3 < time.monotonic() - began < 9


def test_a_body_far_over_the_limit_still_gets_a_sentence(stack: Stack, token: str) -> None:
    answer = _call(stack, "POST", "/create", token, data=b"x" * (40 * 2**20))
    assert answer.status_code == 413
    assert "16 MiB" in answer.text


def test_a_chunked_body_is_read(stack: Stack, token: str) -> None:
    assert _call(stack, "GET", "/status", token, data=iter([b"[", b"]"])).text == "[]"


def test_creates_and_deletes_survive_a_restart_of_postgresql_and_pings_continue(stack: Stack, token: str) -> None:
    request, late = make_request(), make_pod()
    size = _call(stack, "POST", "/pinglink", token).json()
    with ThreadPoolExecutor() as kubelet:
        with _stopped(stack.postgres):
            created = kubelet.submit(_call, stack, "POST", "/create", token, json=request)
            deleted = kubelet.submit(_call, stack, "DELETE", "/delete", token, json=late)
            time.sleep(6)  # longer than a verified token is remembered
            began = time.monotonic()
            pings = [_call(stack, "POST", "/pinglink", token) for _ in range(5)]
            status = _call(stack, "GET", "/status", token, json=[request["pod"]])
            assert time.monotonic() - began < 2
            assert not created.done()
            assert not deleted.done()
        assert created.result().json()["PodUID"] == request["pod"]["metadata"]["uid"]
        assert deleted.result().status_code == 200
    assert [ping.json() for ping in pings] == [size] * 5
    assert status.status_code == 503
    assert _count(stack, "jobs_job", request["pod"]["metadata"]["uid"]) == 1
    assert _count(stack, "jobs_tombstone", late["metadata"]["uid"]) == 1


def test_a_create_survives_a_migration_of_the_columns_that_it_reads(stack: Stack, token: str) -> None:
    assert _call(stack, "POST", "/create", token, json=make_request()).status_code == 200
    with psycopg.connect(stack.database_url, autocommit=True) as owner:
        for size in (300, 200):
            owner.execute(f"ALTER TABLE hpc_sites_site ALTER COLUMN name TYPE varchar({size})")
            assert _call(stack, "POST", "/create", token, json=make_request()).status_code == 200


def test_waiting_creates_leave_threads_for_pings(stack: Stack, token: str) -> None:
    _call(stack, "POST", "/pinglink", token)
    with ThreadPoolExecutor(40) as kubelet:
        with _stopped(stack.postgres):
            creates = [kubelet.submit(_call, stack, "POST", "/create", token, json=make_request()) for _ in range(40)]
            refused = list(itertools.islice(as_completed(creates, timeout=60), 16))
            began = time.monotonic()
            assert _call(stack, "POST", "/pinglink", token).status_code == 200
            assert time.monotonic() - began < 2
            assert len([create for create in creates if create.done()]) == 16
        answers = [create.result().status_code for create in creates]
    assert {create.result().status_code for create in refused} == {503}
    assert answers.count(200) == 24


def test_what_was_heard_is_written_down_when_the_server_stops(stack: Stack, token: str) -> None:
    request = make_request()
    _call(stack, "POST", "/create", token, json=request)
    _call(stack, "GET", "/status", token, json=[request["pod"]])
    web = stack._running.pop("web")
    web.terminate()
    web.wait(30)
    try:
        with psycopg.connect(stack.database_url) as database:
            found = database.execute(
                "SELECT job.polled_minute FROM jobs_job AS job WHERE pod_uid = %s", [request["pod"]["metadata"]["uid"]]
            ).fetchone()
    finally:
        stack.start("web")
        stack.wait_until_up()
    assert found == (1,)


@contextmanager
def _stopped(server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def _connection(stack: Stack) -> socket.socket:
    host, port = stack.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=15)


def _ping(token: str) -> bytes:
    head = f"POST /pinglink HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    return head.encode()


def _call(stack: Stack, method: str, path: str, token: str, **sent: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, stack.url + path, headers=headers, timeout=110, **sent)


def _count(stack: Stack, table: str, uid: str) -> int:
    with psycopg.connect(stack.database_url) as database:
        (number,) = database.execute(f"SELECT count(*) FROM {table} WHERE pod_uid = %s", [uid]).fetchone() or (0,)
    return int(number)
