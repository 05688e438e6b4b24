"""Bodies recorded from the real virtual kubelet, sent to us. Our answers are checked against docs/interlink-wire.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs import payload
from jobs.models import Job
from jobs.states import State
from tests.factories import make_node
from tests.wire import call

RECORDED = Path(__file__).parents[2] / "data" / "kubelet-traffic.jsonl"
LINES: list[dict[str, Any]] = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("prefix", ["", "/vk/{slug}"])
def test_every_recorded_request_is_answered_as_the_kubelet_needs(prefix: str) -> None:
    node, token = make_node()
    prefix = prefix.format(slug=node.slug)
    for line in LINES:
        if line["path"] == "/getLogs":
            continue  # tests/jobs/logs/ covers these
        headers = {"Interlink-Http-Session": line["headers"].get("Interlink-Http-Session", "")}
        answer = call(line["method"], prefix + line["path"], line["body"], token=token, headers=headers)
        assert answer.status == 200, (line["path"], answer.text)
        JUDGES[line["path"]](line["body"], answer)
    assert {line["body"]["pod"]["metadata"]["uid"] for line in sent("/create")} == {
        str(uid) for uid in Job.objects.values_list("pod_uid", flat=True)
    }


def test_recorded_creates_repeated_after_a_restart_make_no_second_job() -> None:
    _, token = make_node()
    first = [call("POST", "/create", line["body"], token=token).json for line in sent("/create")]
    again = [call("POST", "/create", line["body"], token=token).json for line in sent("/create")]
    assert first == again
    assert Job.objects.count() == len(first)


def test_a_recorded_body_is_stored_whole_and_encrypted() -> None:
    _, token = make_node()
    for line in sent("/create"):
        call("POST", "/create", line["body"], token=token)
        job = Job.objects.get(pod_uid=line["body"]["pod"]["metadata"]["uid"])
        assert payload.read_request(job) == {part: line["body"][part] for part in payload.PARTS}
        assert b"placeholder" not in bytes(job.request or b"")


def created(body: Any, answer: Any) -> None:
    assert set(answer.json) == {"PodUID", "PodJID"}
    assert answer.json["PodUID"] == body["pod"]["metadata"]["uid"]


def polled(body: Any, answer: Any) -> None:
    for pod, status in zip(body, answer.json, strict=False):
        spec = pod["spec"]
        assert status["UID"] == pod["metadata"]["uid"]
        assert [each["name"] for each in status["containers"]] == [each["name"] for each in spec["containers"]]
        inits = [each["name"] for each in spec.get("initContainers") or []]
        assert [each["name"] for each in status["initContainers"] or []] == inits
        for each in status["containers"]:
            assert len(each["state"]) == 1


def deleted(body: Any, _answer: Any) -> None:
    job = Job.objects.get(pod_uid=body["metadata"]["uid"])
    assert job.deleted_at is not None
    assert job.state == State.CANCELLED


def pinged(_body: Any, answer: Any) -> None:
    assert answer.json["status"] == "ok"
    assert set(answer.json["resources"]) == {"cpu", "memory", "pods", "accelerators"}


JUDGES = {"/create": created, "/status": polled, "/delete": deleted, "/pinglink": pinged}


def sent(path: str) -> list[dict[str, Any]]:
    return [line for line in LINES if line["path"] == path]
