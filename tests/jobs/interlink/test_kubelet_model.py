"""The kubelet model itself, against a server with scripted answers: each row of the wire's table, and its behaviour."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.kubelet import Kubelet, LogsRefused
from tests.kubelet_rules import KubeletPanic, observe
from tests.pods import make_pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubelet_pod import Pod
    from tests.kubelet_rules import Json

WAITING = {"waiting": {"reason": "Queued"}}
RUNNING = {"running": {"startedAt": "2026-11-23T12:00:00Z"}}


def ended(code: int) -> Json:
    return {"terminated": {"exitCode": code, "reason": "Whatever"}}


@dataclass
class Script:
    """What the server answers: path -> (status, body), and the requests it received: (method, path, headers, body)."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    clients: set[int] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)

    def sent(self, path: str) -> list[Any]:
        return [body for _, where, _, body in self.requests if where == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def handle_any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.script.requests.append((self.command, self.path, dict(self.headers), json.loads(raw) if raw else None))
        self.script.clients.add(self.client_address[1])
        status, answer = self.script.answers.get(self.path, (200, []))
        if answer == "gate":
            self.script.gate.wait(10)
            answer = {"PodUID": "x", "PodJID": "late"}
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the base class looks for these names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, Script]]:
    script = Script({"/create": (200, {"PodUID": "x", "PodJID": "job-1"}), "/pinglink": (200, {"status": "ok"})})
    handler = type("ScriptedHandler", (Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", script
        running.shutdown()
        thread.join()


@pytest.fixture
def script(server: tuple[str, Script]) -> Script:
    return server[1]


@pytest.fixture
def kubelet(server: tuple[str, Script]) -> Iterator[Kubelet]:
    kubelet = Kubelet(server[0], "token", poll_interval=0.05, ping_interval=0.05)
    yield kubelet
    kubelet.panic = None
    kubelet.stop()


def created(kubelet: Kubelet, **how: Any) -> Pod:
    pod = kubelet.create(make_pod(**how))
    kubelet.settle()
    return pod


def answer(pod: Json, *states: Json, init: tuple[Json, ...] = (), names: tuple[str, ...] = ()) -> Json:
    """Return a PodStatus with these states, in the order of the pod's containers."""

    def told(containers: list[Json] | None, given: tuple[Json, ...]) -> list[Json]:
        return [{"name": c["name"], "state": state} for c, state in zip(containers or [], given, strict=False)]

    containers = told(pod["spec"]["containers"], states)
    for status, name in zip(containers, names, strict=False):
        status["name"] = name
    return {
        "name": pod["metadata"]["name"],
        "UID": pod["metadata"]["uid"],
        "namespace": pod["metadata"]["namespace"],
        "containers": containers,
        "initContainers": told(pod["spec"].get("initContainers"), init) or None,
    }


def unseen(**how: Any) -> Json:
    """A pod of two containers whose kubelet restarted before it saw any of them."""
    return make_pod(other="true", **how)


def seen(**how: Any) -> Json:
    pod = unseen(**how)
    observe(pod, answer(pod, WAITING, WAITING, init=(WAITING,) * len(pod["spec"]["initContainers"] or [])))
    return pod


# the table of the wire


def test_no_containers_at_all_mean_succeeded() -> None:
    pod = seen()
    complaints = observe(pod, answer(pod))
    assert pod["status"]["phase"] == "Succeeded"
    assert complaints == ["reported containers [] instead of ['main', 'other']"]


def test_too_few_containers_panic_once_one_has_terminated() -> None:
    pod = seen()
    assert observe(pod, answer(pod, RUNNING))  # a complaint, without a panic
    with pytest.raises(KubeletPanic, match=r"only \['main'\] of"):
        observe(pod, answer(pod, ended(0)))


def test_an_unknown_name_panics_once_a_container_has_terminated() -> None:
    pod = seen()
    with pytest.raises(KubeletPanic, match="not the pod's"):
        observe(pod, answer(pod, ended(0), ended(0), names=("main", "stranger")))


@pytest.mark.parametrize("states", [(RUNNING, ended(0)), (ended(0), RUNNING), (WAITING, ended(1))])
def test_a_first_status_that_mixes_terminated_with_others_panics(states: tuple[Json, Json]) -> None:
    pod = unseen()
    with pytest.raises(KubeletPanic, match="first status"):
        observe(pod, answer(pod, *states))


def test_the_same_mix_is_fine_for_a_kubelet_that_has_seen_the_containers() -> None:
    pod = seen()
    assert observe(pod, answer(pod, RUNNING, ended(0))) == []
    assert pod["status"]["phase"] == "Running"


def test_a_first_status_of_init_containers_that_mixes_panics_too() -> None:
    pod = unseen(init={"one": "true", "two": "true"})
    with pytest.raises(KubeletPanic, match=r"first status of \['one', 'two'\]"):
        observe(pod, answer(pod, WAITING, WAITING, init=(ended(0), RUNNING)))


def test_a_failed_init_container_with_waiting_containers_is_pending_for_ever() -> None:
    pod = seen(init={"fetch": "false"})
    observe(pod, answer(pod, WAITING, WAITING, init=(ended(1),)))
    assert pod["status"]["phase"] == "Pending"


def test_an_empty_state_changes_nothing_and_is_reported() -> None:
    pod = seen()
    observe(pod, answer(pod, RUNNING, RUNNING))
    assert observe(pod, answer(pod, {}, {})) == ["reported 0 states of main", "reported 0 states of other"]
    assert pod["status"]["phase"] == "Running"


def test_all_terminated_with_0_is_succeeded() -> None:
    pod = unseen()
    observe(pod, answer(pod, ended(0), ended(0)))
    assert pod["status"]["phase"] == "Succeeded"


def test_one_terminated_with_another_code_is_failed_and_its_reason_overwritten() -> None:
    pod = seen()
    observe(pod, answer(pod, ended(0), ended(3)))
    reasons = [status["state"]["terminated"]["reason"] for status in pod["status"]["containerStatuses"]]
    assert (pod["status"]["phase"], reasons) == ("Failed", ["Completed", "Error: 3"])


def test_any_running_is_running_unless_an_init_container_is_active() -> None:
    pod = seen(init={"fetch": "true"})
    observe(pod, answer(pod, RUNNING, WAITING, init=(RUNNING,)))
    assert pod["status"]["phase"] == "Pending"
    observe(pod, answer(pod, RUNNING, WAITING, init=(ended(0),)))
    assert pod["status"]["phase"] == "Running"


def test_two_states_of_one_container_are_reported() -> None:
    pod = seen()
    assert observe(pod, answer(pod, RUNNING, {**RUNNING, **WAITING})) == ["reported 2 states of other"]


# how the kubelet sends its requests


@pytest.mark.parametrize("status", [(200, []), (200, None), (500, "broken"), (404, [{"containers": []}])])
def test_no_answer_changes_nothing(kubelet: Kubelet, script: Script, status: tuple[int, Any]) -> None:
    pod = created(kubelet)
    script.answers["/status"] = status
    assert kubelet.poll_once() == 1
    assert (pod.phase, pod.complaints) == ("Pending", [])


def test_an_unreachable_server_changes_nothing(kubelet: Kubelet) -> None:
    pod = created(kubelet)
    kubelet.url = "http://127.0.0.1:9"
    kubelet.poll_once()
    assert pod.phase == "Pending"


def test_each_poll_is_a_get_with_one_pod_and_its_known_status(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet)
    script.answers["/status"] = (200, [answer(pod.body, RUNNING)])
    kubelet.poll_once()
    kubelet.poll_once()
    assert [method for method, path, _, _ in script.requests if path == "/status"] == ["GET", "GET"]
    first, second = (body[0] for body in script.sent("/status"))
    assert first["metadata"]["annotations"]["JobID"] == "job-1"
    assert "waiting" in first["status"]["containerStatuses"][0]["state"]
    assert second["status"]["containerStatuses"] == [{"name": "main", "state": RUNNING}]
    assert pod.phase == "Running"


def test_ended_pods_are_not_polled(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet)
    script.answers["/status"] = (200, [answer(pod.body, ended(0))])
    assert kubelet.poll_once() == 1
    assert kubelet.poll_once() == 0
    assert [phase for _, phase in pod.history] == ["Pending", "Succeeded"]


def test_an_answer_about_another_pod_is_ignored(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet)
    script.answers["/status"] = (200, [answer(make_pod(), ended(0))])
    kubelet.poll_once()
    assert pod.phase == "Pending"
    assert "answered" in pod.complaints[0]


def test_every_request_carries_the_token_and_a_session(kubelet: Kubelet, script: Script) -> None:
    created(kubelet)
    kubelet.ping()
    kubelet.token = ""
    kubelet.ping()
    headers = [sent for _, _, sent, _ in script.requests]
    assert [sent["Authorization"] for sent in headers] == ["Bearer token", "Bearer token", "Bearer"]
    assert headers[0]["InterLink-Http-Session"].startswith("CreatePod#")


@pytest.mark.parametrize(
    "refused",
    [(201, {"PodUID": "x", "PodJID": "1"}), (200, [{"PodUID": "x", "PodJID": "1"}]), (200, b""), (503, b"try later")],
)
def test_a_create_not_answered_with_200_and_an_object_fails_the_pod_for_good(
    kubelet: Kubelet, script: Script, refused: tuple[int, Any]
) -> None:
    script.answers["/create"] = refused
    pod = created(kubelet)
    assert pod.phase == "Failed"
    assert kubelet.poll_once() == 0


def test_the_text_of_a_refusal_becomes_the_pods_message(kubelet: Kubelet, script: Script) -> None:
    script.answers["/create"] = (422, b"The option --exclusive is not allowed.")
    assert created(kubelet).message == "422: The option --exclusive is not allowed."


def test_creates_go_out_side_by_side(kubelet: Kubelet, script: Script) -> None:
    script.answers["/create"] = (200, "gate")
    pods = [kubelet.create(make_pod()) for _ in range(20)]
    deadline = time.monotonic() + 10
    while len(script.requests) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    script.gate.set()
    kubelet.settle()
    assert {pod.job_id for pod in pods} == {"late"}


def test_containers_kept_in_the_cluster_are_left_out_of_create_only(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet, sidecar="true", annotations={"interlink.eu/disable-offload-containers": "sidecar"})
    script.answers["/status"] = (200, [answer(pod.body, ended(0))])
    kubelet.poll_once()
    assert [c["name"] for c in script.sent("/create")[0]["pod"]["spec"]["containers"]] == ["main"]
    assert [c["name"] for c in script.sent("/status")[0][0]["spec"]["containers"]] == ["main", "sidecar"]
    assert (pod.phase, pod.complaints) == ("Succeeded", [])


def test_a_pod_with_every_container_kept_is_sent_with_null(kubelet: Kubelet, script: Script) -> None:
    created(kubelet, annotations={"interlink.eu/disable-offload-containers": "main"})
    assert script.sent("/create")[0]["pod"]["spec"]["containers"] is None


def test_a_delete_is_sent_once_and_the_pod_forgotten_whatever_the_answer(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet)
    script.answers["/delete"] = (503, b"")
    assert kubelet.delete(pod.uid) == 503
    assert kubelet.pods == {}
    assert [body["metadata"]["uid"] for body in script.sent("/delete")] == [pod.uid]


def test_a_ping_that_is_not_200_turns_the_node_not_ready_at_once(kubelet: Kubelet, script: Script) -> None:
    script.answers["/pinglink"] = (200, {"status": "ok", "resources": {"cpu": "8"}})
    kubelet.ping()
    assert (kubelet.ready, kubelet.capacity) == (True, {"cpu": "8"})
    script.answers["/pinglink"] = (500, b"")
    kubelet.ping()
    assert (kubelet.ready, kubelet.capacity) == (False, {"cpu": "8"})


def test_a_ping_answered_with_plain_text_is_accepted(kubelet: Kubelet, script: Script) -> None:
    script.answers["/pinglink"] = (200, b"pong")
    kubelet.ping()
    assert (kubelet.ready, kubelet.capacity) == (True, {})


def test_after_a_restart_pods_with_a_job_id_are_polled_and_the_others_created_again(
    kubelet: Kubelet, script: Script
) -> None:
    known, lost = created(kubelet), created(kubelet)
    del lost.body["metadata"]["annotations"]["JobID"]
    kubelet.restart()
    kubelet.settle()
    assert [body["pod"]["metadata"]["uid"] for body in script.sent("/create")] == [known.uid, lost.uid, lost.uid]
    assert kubelet.pods[lost.uid].job_id == "job-1"
    assert kubelet.poll_once() == 2


def test_logs_are_requested_with_every_option_and_refusals_are_raised(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet)
    script.answers["/getLogs"] = (200, b"line\n")
    assert kubelet.logs(pod.uid, "main", Tail=2) == b"line\n"
    (asked,) = script.sent("/getLogs")
    assert asked["ContainerName"] == "main"
    assert asked["Opts"] == {
        "Tail": 2,
        "Bytes": 0,
        "Timestamps": False,
        "Follow": False,
        "Previous": False,
        "SinceSeconds": 0,
        "SinceTime": "0001-01-01T00:00:00Z",
    }
    script.answers["/getLogs"] = (400, b"Ask for Tail or Bytes, not both.")
    with pytest.raises(LogsRefused, match="Tail or Bytes"):
        kubelet.logs(pod.uid, "main")


def test_one_connection_serves_all_polls_unless_each_request_opens_its_own(
    server: tuple[str, Script], script: Script
) -> None:
    for new_connections, expected in ((False, 1), (True, 5)):
        kubelet = Kubelet(server[0], "token", new_connections=new_connections)
        script.clients.clear()
        for _ in range(5):
            kubelet.ping()
        kubelet.stop()
        assert len(script.clients) == expected


def test_run_polls_and_pings_until_it_is_stopped(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet)
    script.answers["/status"] = (200, [answer(pod.body, ended(0))])
    kubelet.run()
    assert kubelet.wait(pod.uid, timeout=10).phase == "Succeeded"
    kubelet.stop()
    assert kubelet.ready is True


def test_a_panic_ends_the_run_and_is_raised_by_stop(kubelet: Kubelet, script: Script) -> None:
    pod = created(kubelet, other="true")
    script.answers["/status"] = (200, [answer(pod.body, ended(0))])
    kubelet.run()
    with pytest.raises(KubeletPanic):
        kubelet.wait(pod.uid, timeout=10)
    with pytest.raises(KubeletPanic):
        kubelet.stop()
