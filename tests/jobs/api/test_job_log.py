"""/jobs/<key>/log: the same reading as on the wire, behind the API's authorization."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from controlplane.tenants.scope import seeing_everything
from jobs import lifecycle
from jobs.lifecycle import Move
from jobs.logs.following import seats
from jobs.models import Job
from jobs.states import State
from sites import manifest
from sites.connections import connector_for
from sites.connectors.memory.site import memory_site
from sites.workload import Demand
from tests.factories import make_job, make_node, make_pod, make_request

if TYPE_CHECKING:
    from tests.federation import Federation


@pytest.fixture
def job(federation: Federation) -> Job:
    """A job of climate that runs at Vega and has printed hello."""
    body = make_request(make_pod())
    node = make_node(tenant=federation.climate, site=federation.vega)[0]
    job = make_job(node=node, site=federation.vega, request=body, state=State.RUNNING)
    workload = manifest.parse(body).workload(Demand(), key=job.attempt_key, folder=job.folder)
    submitted: Any = connector_for(federation.vega).submit([workload])[job.attempt_key]
    Job.objects.filter(pk=job.pk).update(native_id=submitted)
    memory = memory_site("vega")
    memory.start(job.attempt_key)
    memory.write_log(job.attempt_key, "main", b"hello\nworld\n")
    return job


def test_a_log_is_raw_text(federation: Federation, job: Job) -> None:
    answer = federation.adam.get(f"jobs/{job.key}/log")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/plain", b"hello\nworld\n")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_kubelets_options_are_accepted(federation: Federation, job: Job) -> None:
    adam, path = federation.adam, f"jobs/{job.key}/log"
    assert adam.get(path, tail=1).body == b"world\n"
    assert adam.get(path, bytes=3).body == b"hel"
    assert adam.get(path, timestamps="true").body.splitlines()[0].endswith(b"Z hello")
    assert adam.get(path, since_seconds=3600, container="main").body == b"hello\nworld\n"


@pytest.mark.parametrize(
    ("query", "field"),
    [({"tail": "-1"}, "tail"), ({"follow": "perhaps"}, "follow"), ({"previous": "true"}, "previous")],
)
def test_invalid_options_are_refused_by_name(
    federation: Federation, job: Job, query: dict[str, str], field: str
) -> None:
    answer = federation.adam.get(f"jobs/{job.key}/log", **query)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["errors"][0]["field"] == field


def test_a_caller_who_may_not_see_the_job_may_not_read_its_log(federation: Federation, job: Job) -> None:
    assert federation.bob.get(f"jobs/{job.key}/log").status == 404
    assert federation.juna.get(f"jobs/{job.key}/log").status == 404
    assert federation.nora.get(f"jobs/{job.key}/log").status == 403
    assert federation.vera.get(f"jobs/{job.key}/log").status == 200
    assert federation.adam.get(f"jobs/{job.key}/log", container="none").status == 404


def test_with_several_containers_the_request_must_name_one(federation: Federation, job: Job) -> None:
    two = [{"name": name, "image": "busybox", "init": False} for name in ("main", "other")]
    Job.objects.filter(pk=job.pk).update(containers=two)
    answer = federation.adam.get(f"jobs/{job.key}/log")
    assert answer.status == 400
    assert "main, other" in answer.json["errors"][0]["detail"]
    assert federation.adam.get(f"jobs/{job.key}/log", container="main").body == b"hello\nworld\n"


def test_a_silent_site_is_a_503_with_retry_after(federation: Federation, job: Job) -> None:
    memory_site("vega").go_silent()
    answer = federation.adam.get(f"jobs/{job.key}/log")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")


@pytest.mark.django_db(transaction=True)
def test_a_log_is_followed_until_its_container_ends(federation: Federation, job: Job) -> None:
    def end_soon() -> None:
        time.sleep(1)
        memory_site("vega").write_log(job.attempt_key, "main", b"bye\n")
        with seeing_everything():  # as a worker: the test's connection otherwise has the web role
            lifecycle.move([Move(job.pk, job.attempt, State.SUCCEEDED, {"exit_code": 0})], now=timezone.now())
        connection.close()

    ending = threading.Thread(target=end_soon)
    ending.start()
    answer = federation.adam.get(f"jobs/{job.key}/log", follow="true")
    ending.join()
    assert answer.body == b"hello\nworld\nbye\n"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["membership", "token", "person"])
def test_a_caller_who_loses_access_stops_following(federation: Federation, job: Job, settings: Any, what: str) -> None:
    """Even if the container runs for days."""
    settings.TOKEN_MEMORY, settings.LOG_FOLLOW_IDLE = 1, 20
    adam = federation.adam.person

    def put_out_soon() -> None:
        time.sleep(1)
        with seeing_everything():  # this thread's connection has the web role
            if what == "membership":
                adam.memberships.all().delete()
            elif what == "token":
                adam.tokens.update(revoked_at=timezone.now())
            else:
                type(adam).objects.filter(pk=adam.pk).update(is_active=False)
        connection.close()

    putting_out = threading.Thread(target=put_out_soon)
    putting_out.start()
    began = time.monotonic()
    answer = federation.adam.get(f"jobs/{job.key}/log", follow="true")
    putting_out.join()
    assert answer.body == b"hello\nworld\n"
    assert time.monotonic() - began < 10


@pytest.mark.django_db(transaction=True)
def test_a_token_that_expires_meanwhile_does_not_end_the_stream(
    federation: Federation, job: Job, settings: Any
) -> None:
    settings.TOKEN_MEMORY = 1

    def expire_and_end() -> None:
        with seeing_everything():
            assert federation.adam.person.tokens.update(expires_at=timezone.now()) == 1
        time.sleep(4)
        memory_site("vega").write_log(job.attempt_key, "main", b"bye\n")
        with seeing_everything():
            lifecycle.move([Move(job.pk, job.attempt, State.SUCCEEDED, {"exit_code": 0})], now=timezone.now())
        connection.close()

    ending = threading.Timer(1, expire_and_end)
    ending.start()
    answer = federation.adam.get(f"jobs/{job.key}/log", follow="true")
    ending.join()
    assert answer.body == b"hello\nworld\nbye\n"


def test_a_tenant_may_follow_only_a_few_logs_at_once(federation: Federation, job: Job, settings: Any) -> None:
    settings.LOG_FOLLOWS_PER_TENANT = 1
    seats.take(federation.climate.pk)
    try:
        answer = federation.adam.get(f"jobs/{job.key}/log", follow="true")
    finally:
        seats.leave(federation.climate.pk)
    assert (answer.status, answer.json["code"]) == (429, "too_many")
