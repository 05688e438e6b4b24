"""A job's two status texts, by the table of docs/interlink-wire.md: nothing that a kubelet cannot survive is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import rendering
from jobs.models import Job
from jobs.states import ENDS, State

if TYPE_CHECKING:
    from tests.kubelet_rules import Json

AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
STARTED, ENDED = AT.timestamp(), AT.timestamp() + 60
RAN_WELL = {"started": STARTED, "ended": ENDED, "code": 0}


def test_the_text_names_the_pod_and_our_job_id() -> None:
    job = make(State.QUEUED)
    status = exact(job)
    assert (status["name"], status["namespace"], status["JID"]) == ("pod", "space", job.key)
    assert status["UID"] == "0016d759-43e2-4616-a464-102a9150b1c9"


@pytest.mark.parametrize("state", [State.HELD, State.QUEUED, State.SUBMITTING, State.PENDING])
def test_a_job_that_has_not_started_waits_with_a_reason(state: State) -> None:
    job = make(state, "a", "b", init=["i"], reason="QuotaExceeded", message="Your tenant uses all its GPUs.")
    for container in every(exact(job)):
        assert container["state"] == {
            "waiting": {"reason": "QuotaExceeded", "message": "Your tenant uses all its GPUs."}
        }


def test_without_a_reason_the_state_is_the_reason() -> None:
    assert states(make(State.PENDING), "containers")[0]["waiting"]["reason"] == "Pending"


def test_containers_are_those_of_the_pod_in_its_order() -> None:
    status = exact(make(State.RUNNING, "z", "a", "m", init=["y", "b"]))
    assert [each["name"] for each in status["containers"]] == ["z", "a", "m"]
    assert [each["name"] for each in status["initContainers"]] == ["y", "b"]


def test_a_pod_without_init_containers_has_null_there() -> None:
    assert exact(make(State.RUNNING))["initContainers"] is None


def test_a_pod_without_containers_of_ours_has_nothing_to_send() -> None:
    job = make(State.RUNNING, init=["only"])
    job.containers = [container for container in job.containers if container["init"]]
    assert rendering.render_status(job) == rendering.StatusTexts("", "")


def test_a_running_container_is_ready_since_its_start() -> None:
    (container,) = exact(make(State.RUNNING, observed={"main": {"started": STARTED}}))["containers"]
    assert container["state"] == {"running": {"startedAt": "2026-11-23T12:00:00Z"}}
    assert container["ready"] is True


def test_a_running_job_without_container_reports_shows_them_running() -> None:
    (state,) = states(make(State.RUNNING, started_at=AT), "containers")
    assert state == {"running": {"startedAt": "2026-11-23T12:00:00Z"}}


def test_containers_wait_for_the_init_containers() -> None:
    job = make(State.RUNNING, init=["i"], observed={"i": {"started": STARTED}}, started_at=AT)
    assert "running" in states(job, "initContainers")[0]
    assert states(job, "containers")[0]["waiting"]["reason"] == "PodInitializing"


def test_all_containers_with_zero_read_as_succeeded() -> None:
    job = make(State.SUCCEEDED, "a", "b", observed={"a": RAN_WELL, "b": RAN_WELL}, ended_at=AT)
    for state in states(job, "containers"):
        assert (state["terminated"]["exitCode"], state["terminated"]["reason"]) == (0, "Completed")
        assert state["terminated"]["startedAt"] == "2026-11-23T12:00:00Z"
        assert state["terminated"]["finishedAt"] == "2026-11-23T12:01:00Z"


def test_a_containers_own_exit_code_is_shown() -> None:
    job = make(State.FAILED, "a", "b", observed={"a": {**RAN_WELL, "code": 3}, "b": RAN_WELL}, ended_at=AT)
    assert [state["terminated"]["exitCode"] for state in states(job, "containers")] == [3, 0]


def test_after_a_failed_init_container_the_others_are_terminated_as_failed() -> None:
    failed = {**RAN_WELL, "code": 7}
    job = make(State.FAILED, "a", "b", init=["i", "j"], observed={"i": failed}, ended_at=AT)
    assert [state["terminated"]["exitCode"] for state in states(job, "initContainers")] == [7, 1]
    assert all(state["terminated"]["exitCode"] != 0 for state in states(job, "containers"))


@pytest.mark.parametrize(("code", "reason"), [(137, "OOMKilled"), (124, "DeadlineExceeded"), (143, "Preempted")])
def test_an_end_by_the_site_has_the_code_that_kubernetes_users_expect(code: int, reason: str) -> None:
    job = make(
        State.FAILED,
        observed={"main": {"started": STARTED}},
        exit_code=code,
        reason=reason,
        message="Why.",
        ended_at=AT,
    )
    (state,) = states(job, "containers")
    assert state["terminated"]["exitCode"] == code
    assert (state["terminated"]["reason"], state["terminated"]["message"]) == (reason, "Why.")


def test_a_cancelled_job_has_the_exit_code_of_sigterm() -> None:
    (state,) = states(make(State.CANCELLED, ended_at=AT), "containers")
    assert state["terminated"]["exitCode"] == 143


def test_the_first_text_of_a_half_done_pod_shows_all_containers_running() -> None:
    job = make(State.RUNNING, "a", "b", observed={"a": RAN_WELL, "b": {"started": STARTED}})
    assert [kind(state) for state in states(job, "containers")] == ["terminated", "running"]
    assert [kind(each["state"]) for each in first(job)["containers"]] == ["running", "running"]


def test_the_first_text_of_an_ended_pod_is_exact() -> None:
    job = make(State.FAILED, "a", "b", observed={"a": RAN_WELL, "b": {**RAN_WELL, "code": 1}}, ended_at=AT)
    assert first(job) == exact(job)


seconds = st.floats(0, 4e9) | st.integers(0, 4_000_000_000)
news = st.fixed_dictionaries(
    {}, optional={"started": seconds, "ended": seconds, "code": st.integers(0, 255), "restart": st.integers(0, 3)}
)
names = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True), min_size=1, max_size=6, unique=True)


@given(names, st.integers(0, 5), st.data(), st.sampled_from(list(State)), st.none() | st.integers(0, 255))
def test_a_kubelet_survives_both_texts_of_any_job(
    containers: list[str], inits: int, data: st.DataObject, state: State, exit_code: int | None
) -> None:
    init, main = containers[: min(inits, len(containers) - 1)], containers[min(inits, len(containers) - 1) :]
    observed = data.draw(st.dictionaries(st.sampled_from([*containers, "stranger"]), news))
    job = make(state, *main, init=init, observed=observed, exit_code=exit_code)
    job.started_at = data.draw(st.none() | st.just(AT))
    job.ended_at = AT if state in ENDS else None
    for text in (exact(job), first(job)):
        assert [each["name"] for each in text["containers"]] == main
        assert [each["name"] for each in text["initContainers"] or []] == init
        assert all(len(each["state"]) == 1 for each in every(text))
        assert {kind(each["state"]) for each in every(text)} <= {"waiting", "running", "terminated"}
    for part in ("containers", "initContainers"):
        assert not {"running", "terminated"} <= {kind(each["state"]) for each in first(job)[part] or []}
    if state in ENDS:
        assert all("terminated" in each["state"] for each in every(exact(job)))
        assert first(job) == exact(job)


@given(st.sampled_from(["a", "b"]), st.none() | st.integers(1, 255))
def test_a_failed_job_never_reads_as_succeeded(told: str, exit_code: int | None) -> None:
    job = make(State.FAILED, "a", "b", observed={told: RAN_WELL}, exit_code=exit_code, ended_at=AT)
    assert any(state["terminated"]["exitCode"] != 0 for state in states(job, "containers"))


def make(state: State, *names: str, init: list[str] | None = None, **fields: Any) -> Job:
    containers = [{"name": name, "image": "image", "init": True} for name in init or []]
    containers += [{"name": name, "image": "image", "init": False} for name in names or ("main",)]
    fields = {"pod_uid": "0016d759-43e2-4616-a464-102a9150b1c9", **fields}
    return Job(state=state, pod_name="pod", pod_namespace="space", containers=containers, **fields)


def exact(job: Job) -> Json:
    return dict(orjson.loads(rendering.render_status(job).exact))


def first(job: Job) -> Json:
    return dict(orjson.loads(rendering.render_status(job).first))


def every(status: Json) -> list[Json]:
    return [*(status["initContainers"] or []), *status["containers"]]


def states(job: Job, part: str) -> list[Json]:
    return [each["state"] for each in exact(job)[part]]


def kind(state: Json) -> str:
    (only,) = state
    return str(only)
