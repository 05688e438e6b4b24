"""GET /getLogs through the wire. test_following.py tests how a log is followed."""

from __future__ import annotations

import json
import time
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from controlplane.tenants.models import ApiToken
from jobs.logs import LogOptions, open_log
from jobs.states import State
from tests.factories import make_job, make_node, make_site
from tests.jobs.log_site import Logged, running

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def ask(client: Client, logged: Logged, *, container: str = "main", opts: dict[str, Any] | None = None) -> Any:
    return send(client, logged.token, {"PodUID": str(logged.job.pod_uid), "ContainerName": container, "Opts": opts})


def send(client: Client, token: str, body: object) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic(
        "GET", "/getLogs", data, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
    )


def content(response: Any) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def sentence(response: Any, status: int) -> str:
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/plain")
    text: str = response.content.decode()
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_a_log_is_exactly_the_containers_output(client: Client) -> None:
    logged = running()
    logged.write(b"caf\xc3")
    logged.write(b"\xa9\r\n\x00\xff<not html>")
    response = ask(client, logged)
    assert content(response) == b"caf\xc3\xa9\r\n\x00\xff<not html>"
    assert response["Content-Type"] == "text/plain"


def test_init_containers_and_containers_have_separate_logs(client: Client) -> None:
    logged = running(containers=["main", "sidecar"], inits=["fetch"])
    for name in ("fetch", "main", "sidecar"):
        logged.write(name.encode(), name)
    assert [content(ask(client, logged, container=name)) for name in ("fetch", "main", "sidecar")] == [
        b"fetch",
        b"main",
        b"sidecar",
    ]


def test_options_limit_the_answer(client: Client) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    logged = running(at=noon)
    for second, line in enumerate([b"one\n", b"two\n", b"three\n"]):
        logged.write(line, at=noon + timedelta(seconds=second))
    assert content(ask(client, logged, opts={"Tail": 2})) == b"two\nthree\n"
    assert content(ask(client, logged, opts={"Bytes": 5})) == b"one\nt"
    assert content(ask(client, logged, opts={"SinceTime": "2026-01-31T12:00:01Z"})) == b"two\nthree\n"
    assert content(ask(client, logged, opts={"Tail": 1, "Timestamps": True})) == b"2026-01-31T12:00:02Z three\n"
    assert content(ask(client, logged, opts={"Timestamps": True, "Bytes": 22})) == b"2026-01-31T12:00:00Z o"


def test_since_seconds_returns_the_lines_of_the_last_seconds(client: Client) -> None:
    now = timezone.now()
    logged = running(at=now - timedelta(hours=2))
    logged.write(b"old\n", at=now - timedelta(hours=1))
    logged.write(b"new\n", at=now - timedelta(seconds=5))
    assert content(ask(client, logged, opts={"SinceSeconds": 60})) == b"new\n"


@pytest.mark.parametrize("state", [State.HELD, State.QUEUED, State.SUBMITTING, State.PENDING])
def test_a_job_that_has_not_started_has_an_empty_log(client: Client, state: State) -> None:
    node, token = make_node(site=make_site(config={"name": uuid.uuid4().hex}))
    job = make_job(state=state, node=node)
    body = {"PodUID": str(job.pod_uid), "ContainerName": "main"}
    assert content(send(client, token, body)) == b""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"PodUID": "not-a-uid"}, "PodUID"),
        ({"PodUID": None}, "PodUID"),
        ({"PodUID": 7}, "PodUID"),
        ({"ContainerName": "../../etc/passwd"}, "ContainerName"),
        ({"ContainerName": "Main"}, "ContainerName"),
        ({"ContainerName": "a" * 64}, "ContainerName"),
        ({"ContainerName": None}, "ContainerName"),
        ({"Opts": {"Tail": 1, "Bytes": 1}}, "Tail"),
        ({"Opts": {"SinceSeconds": 1, "SinceTime": "2026-01-31T12:00:00Z"}}, "SinceTime"),
        ({"Opts": {"Previous": True}}, "previous"),
    ],
)
def test_an_invalid_request_is_refused_with_a_sentence(client: Client, change: dict[str, Any], named: str) -> None:
    _, token = make_node()
    body = {"PodUID": str(uuid.uuid4()), "ContainerName": "main", "Opts": {}} | change
    assert named in sentence(send(client, token, body), 400)


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"text"'])
def test_a_body_that_is_not_an_object_is_refused_with_a_sentence(client: Client, body: bytes) -> None:
    sentence(send(client, make_node()[1], body), 400)


def test_nobody_reads_logs_without_a_token(client: Client) -> None:
    logged = running()
    logged.token = "isn_nonsense"
    sentence(ask(client, logged), 401)


def test_another_nodes_pod_is_as_unknown_as_a_missing_one(client: Client) -> None:
    logged, (_, stranger) = running(), make_node()
    body = {"PodUID": str(logged.job.pod_uid), "ContainerName": "main"}
    theirs = sentence(send(client, stranger, body), 404)
    body["PodUID"] = str(uuid.uuid4())
    nobodys = sentence(send(client, stranger, body), 404)
    assert theirs.replace(str(logged.job.pod_uid), "") == nobodys.replace(body["PodUID"], "")


def test_an_unknown_container_is_refused_with_the_existing_names(client: Client) -> None:
    logged = running(containers=["main", "sidecar"])
    assert "main, sidecar" in sentence(ask(client, logged, container="other"), 404)


def test_a_site_that_does_not_answer_is_named(client: Client) -> None:
    logged = running()
    logged.memory.go_silent(message="Vega does not answer.")
    assert "Vega does not answer." in sentence(ask(client, logged), 503)


def test_a_site_with_an_open_breaker_is_not_called(client: Client) -> None:
    logged = running()
    site = logged.site
    site.silent_since = site.next_probe_at = timezone.now()
    site.save()
    assert site.name in sentence(ask(client, logged), 503)
    assert logged.reads() == 0


def test_a_site_that_falls_silent_half_way_is_asked_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client could not distinguish a cut answer from a whole one."""
    settings.RETRY_FIRST = 0.01
    monkeypatch.setattr("jobs.logs.text.PIECE", 4)
    logged = running()
    logged.write(b"0123456789")
    stream = open_log(logged.job, "main", LogOptions())
    first = next(stream)
    logged.memory.lose_answer("read_logs", times=2)
    assert first + b"".join(stream) == b"0123456789"


def test_a_large_log_needs_little_memory(client: Client) -> None:
    logged = running()
    logged.write(b"0123456789abcde\n" * (50 * 2**16))
    response = ask(client, logged)
    tracemalloc.start()
    size = sum(len(chunk) for chunk in response.streaming_content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 50 * 2**20
    # The in-memory site copies the whole log for each piece; what our own code holds beside that is small.
    assert peak < 50 * 2**20 + 8 * 2**20


def test_the_tail_of_a_large_log_costs_a_few_round_trips(client: Client) -> None:
    logged = running()
    logged.write(b"0123456789abcde\n" * (50 * 2**16) + b"last\n")
    before = logged.reads()
    assert content(ask(client, logged, opts={"Tail": 1})) == b"last\n"
    assert logged.reads() - before <= 8


def test_a_node_follows_until_its_token_is_revoked(client: Client, settings: Any) -> None:
    """An expiry does not end the stream: many tokens live for minutes, and a container for days."""
    settings.TOKEN_MEMORY, settings.LOG_FOLLOW_IDLE = 1, 20
    logged = running()
    logged.write(b"one\n")
    stream = iter(ask(client, logged, opts={"Follow": True}).streaming_content)
    assert next(stream) == b"one\n"
    ApiToken.objects.update(expires_at=timezone.now())
    time.sleep(1.1)
    logged.write(b"two\n")
    assert next(filter(None, stream)) == b"two\n"
    ApiToken.objects.update(revoked_at=timezone.now())
    began = time.monotonic()
    assert b"".join(stream) == b""
    assert time.monotonic() - began < 10
