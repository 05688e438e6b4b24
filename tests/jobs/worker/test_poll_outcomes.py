"""What a site's report means: every way a job can end, and what its owner reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.states import State
from jobs.worker import poll_outcomes
from jobs.worker.poll_outcomes import Watched
from sites.workload import ContainerReport, Phase, Report

if TYPE_CHECKING:
    from jobs.lifecycle import Move

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
INIT = {"name": "setup", "image": "i", "init": True}
MAIN = {"name": "main", "image": "i", "init": False}
SIDE = {"name": "side", "image": "i", "init": False}


def watched(**fields: Any) -> Watched:
    defaults: dict[str, Any] = {
        "pk": 1, "state": "running", "attempt": 1, "attempt_key": "k", "native_id": "7", "folder": "f", "account": "",
        "pod_namespace": "ns", "pod_name": "p", "containers": [MAIN], "observed": {}, "reason": "", "message": "",
        "exit_code": None, "created_at": NOON - timedelta(hours=1), "started_at": NOON, "missing_since": None,
        "lost_at": None,
        "cancel_requested_at": None,
    }  # fmt: skip
    return Watched(**{**defaults, **fields})


def report(phase: Phase, **fields: Any) -> Report:
    return Report(key="k", native_id="7", phase=phase, **{"started_at": NOON, **fields})


def ended(name: str, code: int, restart: int = 0) -> ContainerReport:
    return ContainerReport(name, NOON, NOON, code, restart)


def decide(job: Watched, told: Report) -> Move:
    move = poll_outcomes.decide_report(job, told, now=NOON)
    assert move is not None
    return move


@pytest.mark.parametrize(
    ("codes", "phase", "state"),
    [
        ({"main": 0, "side": 0}, Phase.SUCCEEDED, State.SUCCEEDED),
        ({"main": 0, "side": 0}, Phase.FAILED, State.SUCCEEDED),
        ({"main": 0, "side": 0}, Phase.CANCELLED, State.SUCCEEDED),
        ({"main": 0, "side": 3}, Phase.FAILED, State.FAILED),
        ({"main": 0, "side": 3}, Phase.SUCCEEDED, State.FAILED),
        ({"main": 0}, Phase.SUCCEEDED, State.SUCCEEDED),
        ({"main": 0}, Phase.FAILED, State.FAILED),
        ({}, Phase.SUCCEEDED, State.SUCCEEDED),
        ({}, Phase.FAILED, State.FAILED),
        ({}, Phase.CANCELLED, State.FAILED),
    ],
)
def test_the_containers_own_codes_decide_if_all_are_known(codes: dict[str, int], phase: Phase, state: State) -> None:
    told = report(phase, containers=tuple(ended(name, code) for name, code in codes.items()))
    assert decide(watched(containers=[MAIN, SIDE]), told).to is state


def test_a_failed_init_container_fails_the_job() -> None:
    move = decide(watched(containers=[INIT, MAIN]), report(Phase.FAILED, containers=(ended("setup", 2),)))
    assert (move.to, move.changes["exit_code"]) == (State.FAILED, 2)
    assert move.changes["message"] == "The container setup ended with exit code 2."


@pytest.mark.parametrize(("phase", "codes"), [(Phase.CANCELLED, {}), (Phase.FAILED, {"main": 143})])
def test_a_job_with_a_cancellation_request_is_cancelled(phase: Phase, codes: dict[str, int]) -> None:
    told = report(phase, containers=tuple(ended(name, code) for name, code in codes.items()))
    assert decide(watched(cancel_requested_at=NOON), told).to is State.CANCELLED


def test_a_finished_job_with_a_cancellation_request_has_succeeded() -> None:
    told = report(Phase.SUCCEEDED, containers=(ended("main", 0),))
    assert decide(watched(cancel_requested_at=NOON), told).to is State.SUCCEEDED


def test_a_job_cancelled_by_others_at_the_site_has_failed_as_terminated() -> None:
    move = decide(watched(), report(Phase.CANCELLED, message="Cancelled by uid 1000."))
    assert (move.to, move.changes["reason"], move.changes["exit_code"]) == (State.FAILED, "CancelledAtSite", 143)
    assert move.changes["message"] == "Cancelled by uid 1000."


def test_the_sites_code_stands_in_for_containers_without_one() -> None:
    move = decide(watched(), report(Phase.FAILED, reason="OOMKilled", message="Out of memory.", exit_code=137))
    assert (move.changes["reason"], move.changes["exit_code"]) == ("OOMKilled", 137)


def test_the_time_limit_is_the_reason_though_the_container_reported_its_signal() -> None:
    told = report(Phase.FAILED, reason="DeadlineExceeded", exit_code=124, containers=(ended("main", 143),))
    move = decide(watched(), told)
    assert (move.to, move.changes["reason"]) == (State.FAILED, "DeadlineExceeded")
    assert move.changes["observed"]["main"]["code"] == 143


def test_a_report_of_known_facts_changes_nothing() -> None:
    assert poll_outcomes.decide_report(watched(), report(Phase.RUNNING), now=NOON) is None


def test_a_report_about_a_container_keeps_its_other_known_facts() -> None:
    known = {"main": {"started": 100, "restart": 0}}
    told = report(Phase.RUNNING, containers=(ContainerReport("main", None, NOON, 0),))
    expected = {"started": 100, "ended": int(NOON.timestamp()), "code": 0, "restart": 0}
    assert decide(watched(observed=known), told).changes["observed"] == {"main": expected}


def test_a_later_run_replaces_the_earlier_one_and_late_reports_of_it_are_ignored() -> None:
    known = poll_outcomes.observe({}, report(Phase.RUNNING, containers=(ended("main", 1), ended("side", 0))))
    again = poll_outcomes.observe(
        known, report(Phase.RUNNING, restart=1, containers=(ContainerReport("main", NOON, restart=1),))
    )
    assert again == {"main": {"started": int(NOON.timestamp()), "restart": 1}}
    late = poll_outcomes.observe(again, report(Phase.RUNNING, restart=1, containers=(ended("main", 1, restart=0),)))
    assert late == again


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (NOON - timedelta(minutes=5), NOON - timedelta(minutes=5)),
        (NOON + timedelta(hours=7), NOON),
        (datetime(1970, 1, 1, tzinfo=UTC), NOON - timedelta(hours=1)),
        (None, NOON),
    ],
)
def test_a_site_with_a_wrong_clock_does_not_shift_our_retention(told: datetime | None, kept: datetime) -> None:
    assert decide(watched(), report(Phase.SUCCEEDED, ended_at=told)).changes["ended_at"] == kept
