"""/status: whose pods are answered, which of the two texts, and what is never sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from controlplane.tenants.models import ApiToken
from jobs import lifecycle
from jobs.interlink import status_reader
from jobs.interlink.status import is_status
from jobs.models import Job
from jobs.states import State
from tests.factories import make_allocation, make_job, make_node, make_pod, make_request
from tests.jobs.clock import start_now
from tests.wire import call

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node_and_token() -> tuple[VirtualNode, str]:
    return make_node()


def test_a_known_pod_is_answered_with_its_rendered_text(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    job = make_job(node=node)
    answer = call("GET", "/status", [seen(job)], token=token)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == f"[{job.status_exact}]"
    assert answer.json[0]["UID"] == str(job.pod_uid)


def test_a_pod_that_the_kubelet_has_not_seen_gets_the_first_text(
    node_and_token: tuple[VirtualNode, str],
) -> None:
    node, token = node_and_token
    job = half_done(node)
    assert call("GET", "/status", [unseen(job)], token=token).text == f"[{job.status_first}]"
    assert call("GET", "/status", [seen(job, "a")], token=token).text == f"[{job.status_first}]"
    assert call("GET", "/status", [seen(job)], token=token).text == f"[{job.status_exact}]"
    assert job.status_first != job.status_exact


@pytest.mark.parametrize("number", [1, 2])
def test_a_held_pod_names_its_limit_at_first_sight_and_later(number: int) -> None:
    node, token = make_node()
    site = node.route.site
    make_allocation(node.tenant, site, pods=1)
    pods = [make_pod(), make_pod()]
    for pod in pods:
        pod["spec"]["initContainers"] = [{"name": "first", "image": "i"}]
        pod["spec"]["containers"] = [{"name": f"c{each}", "image": "i"} for each in range(number)]
        assert call("POST", "/create", make_request(pod), token=token).status == 200
    job = Job.objects.get(pod_uid=pods[1]["metadata"]["uid"])
    assert waiting(call("GET", "/status", [unseen(job)], token=token).json) == {"Held"}
    start_now(site)
    for pod in (unseen(job), seen(job)):
        answer = call("GET", "/status", [pod], token=token)
        assert waiting(answer.json) == {"QuotaExceeded"}
        assert "uses 1 of 1 pod" in answer.text
        [status] = answer.json
        assert [each["name"] for each in status["containers"]] == [f"c{each}" for each in range(number)]
        assert [each["name"] for each in status["initContainers"]] == ["first"]


def waiting(answer: Any) -> set[str]:
    """Return the reasons of an answer in which every container waits."""
    [status] = answer
    return {each["state"]["waiting"]["reason"] for each in [*status["containers"], *status["initContainers"]]}


def test_containers_that_stay_local_do_not_count_as_missing(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    job = half_done(node)
    assert call("GET", "/status", [seen(job, "a", "b", "local")], token=token).text == f"[{job.status_exact}]"


def test_init_containers_must_have_been_seen_too(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    pod = make_pod()
    pod["spec"]["initContainers"] = [{"name": "first", "image": "i"}]
    job = make_job(
        node=node,
        request=make_request(pod),
        state=State.RUNNING,
        observed={"first": {"started": 1, "ended": 2, "code": 0}},
    )
    polled = seen(job, "main")
    assert call("GET", "/status", [polled], token=token).text == f"[{job.status_first}]"
    polled["status"]["initContainerStatuses"] = [{"name": "first"}]
    assert call("GET", "/status", [polled], token=token).text == f"[{job.status_exact}]"


def test_unknown_deleted_and_other_nodes_pods_are_left_out(
    node_and_token: tuple[VirtualNode, str],
) -> None:
    node, token = node_and_token
    deleted = make_job(node=node, state=State.RUNNING, deleted_at=timezone.now())
    elsewhere = make_job()
    for pod in [make_pod(), seen(deleted), seen(elsewhere)]:
        assert call("GET", "/status", [pod], token=token).text == "[]"


def test_a_pod_without_containers_of_ours_is_left_out_since_it_would_read_as_succeeded(
    node_and_token: tuple[VirtualNode, str],
) -> None:
    node, token = node_and_token
    pod = make_pod()
    pod["spec"]["containers"] = None
    job = make_job(node=node, request=make_request(pod))
    assert call("GET", "/status", [seen(job)], token=token).text == "[]"


def test_many_pods_are_answered_in_the_requested_order(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    jobs = [make_job(node=node) for _ in range(5)]
    jobs.reverse()
    answer = call("POST", "/status", [seen(job) for job in jobs], token=token)
    assert [status["UID"] for status in answer.json] == [str(job.pod_uid) for job in jobs]


def test_an_empty_list_asks_for_all_live_pods_of_the_node(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    alive = [make_job(node=node, state=state) for state in (State.HELD, State.QUEUED, State.RUNNING)]
    make_job(node=node, state=State.SUCCEEDED)
    make_job(node=node, state=State.RUNNING, deleted_at=timezone.now())
    make_job()
    answer = call("GET", "/status", [], token=token)
    assert {status["UID"] for status in answer.json} == {str(job.pod_uid) for job in alive}


def test_the_list_of_all_pods_is_bounded(node_and_token: tuple[VirtualNode, str], settings: Any) -> None:
    settings.INTERLINK_LIST_LIMIT = 2
    node, token = node_and_token
    for _ in range(3):
        make_job(node=node)
    assert len(call("GET", "/status", [], token=token).json) == 2


def test_a_change_is_visible_at_the_next_poll(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    job = make_job(node=node, state=State.RUNNING)
    call("GET", "/status", [seen(job)], token=token)
    lifecycle.move([lifecycle.Move(job.pk, job.attempt, State.SUCCEEDED)], now=timezone.now())
    (status,) = call("GET", "/status", [seen(job)], token=token).json
    assert status["containers"][0]["state"]["terminated"]["exitCode"] == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}", b"null", b"[7]", b"[null]", b'[{"metadata": {}}]', b'[{"metadata": {"uid": "x"}}]',
     b'[{"metadata": {"uid": 7}}]', b'[{"metadata": {"uid": "0016d759-43e2-4616-a464-102a9150b1c9"}, "status": [1]}]',
     b'[{"metadata": {"uid": "0016d759-43e2-4616-a464-102a9150b1c9"},'
     b' "status": {"containerStatuses": [{"name": "\xed\xa0"}]}}]',
     b'[{"metadata": {"uid": "0016d759-43e2-4616-a464-102a9150b1c9"},'
     b' "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]"],
    ids=lambda body: repr(body[:90]),
)  # fmt: skip
def test_a_body_that_is_not_a_list_of_pods_is_refused_with_one_sentence(
    node_and_token: tuple[VirtualNode, str], body: bytes
) -> None:
    answer = call("GET", "/status", body, token=node_and_token[1])
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.endswith(".")
    assert "\n" not in answer.text


def test_other_methods_are_refused(node_and_token: tuple[VirtualNode, str]) -> None:
    assert call("DELETE", "/status", [], token=node_and_token[1]).status == 405


def test_the_nodes_own_path_works_and_another_nodes_does_not(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    job = make_job(node=node)
    assert call("GET", f"/vk/{node.slug}/status", [seen(job)], token=token).json
    assert call("GET", "/vk/another/status", [seen(job)], token=token).status == 403


def test_expired_revoked_and_disabled_credentials_are_refused(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    now = timezone.now()
    assert call("GET", "/status", [], token=token[:-1] + "0").status == 401
    ApiToken.objects.update(expires_at=now - timedelta(seconds=1))
    assert "expired" in call("GET", "/status", [], token=token).text
    ApiToken.objects.update(expires_at=now + timedelta(days=1), revoked_at=now)
    assert "revoked" in call("GET", "/status", [], token=token).text
    ApiToken.objects.update(revoked_at=None)
    node.tenant.enabled = False
    node.tenant.save()
    assert call("GET", "/status", [], token=token).status == 401


def test_malicious_names_are_only_values(node_and_token: tuple[VirtualNode, str]) -> None:
    pod = make_pod()
    pod["status"] = {"containerStatuses": [{"name": '"]; drop table jobs_job; --'}]}
    assert call("GET", "/status", [pod], token=node_and_token[1]).text == "[]"
    assert Job.objects.count() == 0


@pytest.mark.parametrize("path", ["/status", "/vk/a/status", "/vk/a-b/status"])
def test_the_status_handler_serves_its_paths(path: str) -> None:
    assert is_status(path)


@pytest.mark.parametrize(
    "path", ["/", "/status/", "/vk/status", "/vk/a/b/status", "/admin/status", "/statuses", "/x/a/status"]
)
def test_the_status_handler_leaves_other_paths_to_django(path: str) -> None:
    assert not is_status(path)


def half_done(node: VirtualNode) -> Job:
    """Return a pod of two containers, one of which has ended."""
    pod = make_pod()
    pod["spec"]["containers"] = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    observed = {"a": {"started": 1, "ended": 2, "code": 0}, "b": {"started": 1}}
    return make_job(node=node, request=make_request(pod), state=State.RUNNING, observed=observed)


def unseen(job: Job) -> dict[str, Any]:
    """Return the pod as a kubelet polls it before it has seen the containers."""
    return make_pod(uid=str(job.pod_uid), name=job.pod_name, namespace=job.pod_namespace)


def seen(job: Job, *names: str) -> dict[str, Any]:
    """Return the pod as a kubelet polls it after it has seen these containers, all of them by default."""
    pod = unseen(job)
    names = names or tuple(container["name"] for container in job.containers)
    pod["status"]["containerStatuses"] = [{"name": name, "state": {"waiting": {}}} for name in names]
    return pod


def test_many_pods_of_one_request_are_answered_in_its_order(
    node_and_token: tuple[VirtualNode, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, token = node_and_token
    monkeypatch.setattr(status_reader, "TOGETHER", 5)
    jobs = [make_job(node=node) for _ in range(12)]
    asked = [*reversed(jobs), make_job()]  # the last one is another node's
    answer = call("GET", "/status", [seen(job) for job in asked], token=token)
    assert [each["UID"] for each in answer.json] == [str(job.pod_uid) for job in reversed(jobs)]


def test_simultaneous_requests_of_many_nodes_each_get_their_own_answer(node_and_token: tuple[VirtualNode, str]) -> None:
    asked = []
    for node, token in [node_and_token, *(make_node() for _ in range(3))]:
        jobs = [make_job(node=node) for _ in range(5)]
        asked += [(token, job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: call("GET", "/status", [seen(each[1])], token=each[0]), asked * 10))
    assert [answer.text for answer in answers] == [f"[{job.status_exact}]" for _, job in asked * 10]


def test_a_name_that_no_row_can_hold_does_not_affect_other_answers(node_and_token: tuple[VirtualNode, str]) -> None:
    node, token = node_and_token
    job = make_job(node=node)
    odd = seen(job)
    odd["status"]["containerStatuses"].append({"name": "\0"})
    answer = call("GET", "/status", [odd], token=token)
    assert (answer.status, answer.text) == (200, f"[{job.status_exact}]")
