"""The interLink wire, seen from outside: what is answered, and what holds for every input."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from django.conf import settings

from jobs import payload
from jobs.models import Job, Tombstone
from jobs.states import State
from tests.factories import make_job, make_node, make_pod, make_request
from tests.wire import call

pytestmark = pytest.mark.django_db

ENDPOINTS = [
    ("POST", "create"),
    ("DELETE", "delete"),
    ("GET", "status"),
    ("GET", "getLogs"),
    ("POST", "pinglink"),
    ("POST", "updateCache"),
]
BODIED = [endpoint for endpoint in ENDPOINTS if endpoint[1] in {"create", "delete", "getLogs"}]


def test_a_create_is_answered_with_exactly_the_uid_and_our_job_id() -> None:
    node, token = make_node()
    request = make_request()
    answer = call("POST", "/create", request, token=token)
    job = Job.objects.get()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"PodUID": request["pod"]["metadata"]["uid"], "PodJID": job.key}
    assert (job.node, job.tenant, job.state) == (node, node.tenant, State.HELD)


def test_a_new_job_is_due_at_its_nodes_site_and_stores_the_request() -> None:
    node, token = make_node()
    request = make_request(secrets=[{"metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}}])
    call("POST", "/create", request, token=token)
    job = Job.objects.get()
    assert job.site == node.route.site
    assert job.next_start_at == job.created_at
    assert payload.read_request(job) == {part: request[part] for part in payload.PARTS}
    assert b"c2VjcmV0" not in bytes(job.request or b"")


def test_the_same_uid_twice_is_one_job_and_the_same_answer() -> None:
    _, token = make_node()
    request = make_request()
    answers = [call("POST", "/create", request, token=token).body for _ in range(3)]
    assert len(set(answers)) == 1
    assert Job.objects.count() == 1


def test_the_same_uid_from_another_node_is_another_job() -> None:
    request = make_request()
    ours = call("POST", "/create", request, token=make_node()[1]).json
    theirs = call("POST", "/create", request, token=make_node()[1]).json
    assert ours["PodUID"] == theirs["PodUID"]
    assert ours["PodJID"] != theirs["PodJID"]


def test_a_pod_without_a_route_is_accepted_and_held_with_the_reason() -> None:
    _, token = make_node(routed=False)
    assert call("POST", "/create", make_request(), token=token).status == 200
    job = Job.objects.get()
    assert (job.state, job.reason) == (State.HELD, "NoRoute")


def test_a_disabled_node_is_authenticated_and_its_pods_are_held() -> None:
    _, token = make_node(enabled=False)
    assert call("POST", "/create", make_request(), token=token).status == 200
    assert Job.objects.get().reason == "NodeDisabled"


def test_a_recently_deleted_node_is_refused_with_a_sentence() -> None:
    node, token = make_node()
    call("POST", "/updateCache", token=token)  # the token is remembered from here on
    node.delete()
    answer = call("POST", "/create", make_request(), token=token)
    assert answer.status == 403
    assert_one_sentence(answer.text)


def test_a_refused_pod_gets_a_sentence_and_no_row() -> None:
    _, token = make_node()
    pod = make_pod()
    pod["spec"]["hostPID"] = True
    answer = call("POST", "/create", make_request(pod), token=token)
    assert answer.status == 422
    assert "hostPID" in answer.text
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"null", b"[]", b'"pod"', b"{}", b'{"pod": []}', b'{"pod": {"metadata": {"uid": "7"}}}'],
)
def test_a_create_without_a_pod_is_refused_with_one_sentence(body: bytes) -> None:
    answer = call("POST", "/create", body, token=make_node()[1])
    assert answer.status == 400
    assert_one_sentence(answer.text)


def test_an_invalid_uid_is_refused_with_one_sentence() -> None:
    answer = call("POST", "/create", make_request(make_pod(uid="pod-1")), token=make_node()[1])
    assert answer.status == 400
    assert "UUID" in answer.text
    assert_one_sentence(answer.text)


@pytest.mark.parametrize(("method", "endpoint"), ENDPOINTS)
@pytest.mark.parametrize("prefix", ["/", "/vk/some-node/"])
def test_every_endpoint_asks_for_a_token_first(method: str, endpoint: str, prefix: str) -> None:
    too_large = {"Content-Length": str(settings.INTERLINK_MAX_BODY + 1)}
    answer = call(method, prefix + endpoint, headers=too_large)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert_one_sentence(answer.text)


@pytest.mark.parametrize(("method", "endpoint"), BODIED)
def test_a_body_over_the_limit_is_refused_after_authentication(method: str, endpoint: str, settings: Any) -> None:
    settings.INTERLINK_MAX_BODY = 1000
    answer = call(method, f"/{endpoint}", b"[" + b" " * 1000 + b"]", token=make_node()[1])
    assert answer.status == 413
    assert_one_sentence(answer.text)


def test_a_body_of_eight_mebibytes_is_accepted() -> None:
    data = {f"key-{number}": "x" * 1_000_000 for number in range(8)}
    configmaps = [{"metadata": {"name": "large"}, "data": data}]
    _, token = make_node()
    assert call("POST", "/create", make_request(configmaps=configmaps), token=token).status == 200
    assert payload.read_request(Job.objects.get())["configmaps"] == configmaps


@pytest.mark.parametrize("endpoint", ["create", "delete", "pinglink", "updateCache"])
def test_post_is_accepted_everywhere(endpoint: str) -> None:
    _, token = make_node()
    body = make_request() if endpoint == "create" else make_pod()
    assert call("POST", f"/{endpoint}", body, token=token).status == 200


@pytest.mark.django_db(transaction=True)  # /status has its own database connections
@pytest.mark.parametrize(("method", "endpoint"), ENDPOINTS)
def test_another_nodes_path_is_forbidden(method: str, endpoint: str) -> None:
    _, token = make_node()
    other, _ = make_node()
    answer = call(method, f"/vk/{other.slug}/{endpoint}", [], token=token)
    assert answer.status == 403
    assert_one_sentence(answer.text)


def test_a_nodes_own_path_works_like_the_root() -> None:
    node, token = make_node()
    assert call("POST", f"/vk/{node.slug}/create", make_request(), token=token).status == 200
    assert Job.objects.get().node == node


@pytest.mark.parametrize("state", [State.HELD, State.QUEUED])
def test_deleting_a_pod_without_a_site_ends_it_at_once(state: State) -> None:
    node, token = make_node()
    job = make_job(state=state, node=node)
    answer = call("DELETE", "/delete", _pod_of(job), token=token)
    job.refresh_from_db()
    assert answer.status == 200
    assert job.state == State.CANCELLED
    assert job.deleted_at is not None
    assert job.request is None


@pytest.mark.parametrize("state", [State.SUBMITTING, State.PENDING, State.RUNNING])
def test_deleting_a_pod_at_a_site_stores_a_cancellation_request(state: State) -> None:
    node, token = make_node()
    job = make_job(state=state, node=node)
    answer = call("DELETE", "/delete", _pod_of(job), token=token)
    job.refresh_from_db()
    assert answer.status == 200
    assert job.state == state
    assert job.deleted_at == job.cancel_requested_at == job.next_cancel_at is not None


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_deleting_an_ended_pod_only_hides_it(state: State) -> None:
    node, token = make_node()
    job = make_job(state=state, node=node)
    assert call("DELETE", "/delete", _pod_of(job), token=token).status == 200
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_at) == (state, None)
    assert job.deleted_at is not None


def test_deleting_an_unknown_pod_leaves_a_tombstone_and_answers_200() -> None:
    node, token = make_node()
    pod = make_pod()
    assert [call("DELETE", "/delete", pod, token=token).status for _ in range(2)] == [200, 200]
    tombstone = Tombstone.objects.get()
    assert (tombstone.node, str(tombstone.pod_uid)) == (node, pod["metadata"]["uid"])


def test_deleting_another_nodes_pod_does_not_touch_it() -> None:
    job = make_job(state=State.QUEUED)
    assert call("DELETE", "/delete", _pod_of(job), token=make_node()[1]).status == 200
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_a_pod_deleted_before_its_create_is_never_started() -> None:
    _, token = make_node()
    request = make_request()
    call("DELETE", "/delete", request["pod"], token=token)
    answer = call("POST", "/create", request, token=token)
    job = Job.objects.get()
    assert answer.status == 200
    assert (job.state, job.reason) == (State.CANCELLED, "Deleted")
    assert job.deleted_at is not None
    assert [line.new for line in job.history.all()] == [State.HELD, State.CANCELLED]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata": {"uid": 7}}', b'{"metadata": {"uid": "x"}}'])
def test_a_delete_without_a_pod_is_refused_with_one_sentence(body: bytes) -> None:
    answer = call("DELETE", "/delete", body, token=make_node()[1])
    assert answer.status == 400
    assert_one_sentence(answer.text)


def test_update_cache_answers_what_kubelets_expect() -> None:
    answer = call("POST", "/updateCache", token=make_node()[1])
    assert (answer.status, answer.text) == (200, "Updated cache")


def test_nothing_of_a_body_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, token = make_node()
    marker = f"marker-{uuid.uuid4()}"
    pod = make_pod()
    pod["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": marker}]
    call("POST", "/create", make_request(pod), token=token)
    call("POST", "/create", make_request(pod)["pod"], token=token)
    call("DELETE", "/delete", pod, token=token)
    call("POST", "/create", f'{{"pod": {marker}'.encode(), token=token)
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert logged
    assert marker not in logged
    assert token not in logged


def test_a_create_takes_few_statements(django_assert_max_num_queries: Any) -> None:
    _, token = make_node()
    call("POST", "/updateCache", token=token)  # the token is remembered from here on
    with django_assert_max_num_queries(10):  # four of them, because a test already runs in a transaction
        assert call("POST", "/create", make_request(), token=token).status == 200


def assert_one_sentence(text: str) -> None:
    assert text.strip() == text
    assert text.endswith(".")
    assert "\n" not in text
    assert not text.startswith(("{", "<"))


def _pod_of(job: Job) -> dict[str, Any]:
    return make_pod(uid=str(job.pod_uid), name=job.pod_name, namespace=job.pod_namespace)
