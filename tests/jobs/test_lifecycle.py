"""The one writer of a job's state: what changes with a move, what is left alone, and how many statements it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import lifecycle
from jobs.lifecycle import Move
from jobs.models import Job, Transition, UsageRecord
from jobs.states import ENDS, MOVES, State
from sites.workload import Demand
from tests.factories import make_job, make_site

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from jobs.models import Changes
    from sites.models import Site

pytestmark = pytest.mark.django_db


def move(job: Job, to: State | None, **changes: Unpack[Changes]) -> list[Job]:
    return lifecycle.move([Move(job.pk, job.attempt, to, changes)], now=timezone.now())


def _needs(to: State) -> Changes:
    """Return the columns that a state requires."""
    now = timezone.now()
    demands: dict[State, Changes] = {
        State.QUEUED: {"next_submit_at": now},
        State.SUBMITTING: {"attempt_key": "a" * 40, "next_find_at": now},
        State.PENDING: {"native_id": "7"},
        State.RUNNING: {"native_id": "7"},
    }
    return demands.get(to, {})


@pytest.mark.parametrize(("old", "new"), [(old, new) for old in State for new in sorted(MOVES[old])])
def test_every_allowed_move_is_made_with_a_line_of_history(old: State, new: State) -> None:
    job = make_job(state=old)
    assert [moved.pk for moved in move(job, new, **_needs(new))] == [job.pk]
    last = Transition.objects.filter(job=job).last()
    assert last is not None
    assert (last.old, last.new) == (old, new)


@pytest.mark.parametrize(
    ("old", "new"), [(old, new) for old in State for new in State if new not in MOVES[old] and new != old]
)
def test_no_other_move_is_made(old: State, new: State) -> None:
    job = make_job(state=old)
    assert move(job, new, **_needs(new)) == []
    job.refresh_from_db()
    assert job.state == old


def test_an_illegal_move_stops_no_other() -> None:
    held, queued = make_job(state=State.HELD), make_job(state=State.QUEUED)
    moves = [Move(held.pk, 0, State.RUNNING), Move(queued.pk, 0, State.CANCELLED)]
    assert [job.pk for job in lifecycle.move(moves, now=timezone.now())] == [queued.pk]


def test_a_report_about_another_attempt_is_ignored() -> None:
    job = make_job(state=State.PENDING)
    assert lifecycle.move([Move(job.pk, job.attempt + 1, State.RUNNING)], now=timezone.now()) == []


def test_a_move_renders_the_status_text() -> None:
    job = make_job(state=State.QUEUED)
    move(job, None, reason="SiteSilent", message="Vega has not answered.")
    job.refresh_from_db()
    assert "Vega has not answered." in job.status_exact
    assert "SiteSilent" in job.status_first


@pytest.mark.parametrize("end", sorted(ENDS))
def test_an_ended_job_has_no_secrets_and_nothing_due(end: State) -> None:
    job = make_job(state=State.RUNNING, next_cancel_at=timezone.now())
    move(job, end)
    job.refresh_from_db()
    assert (job.request, job.next_cancel_at, job.next_submit_at, job.next_find_at) == (None, None, None, None)
    assert job.ended_at is not None
    assert job.next_archive_at is not None


def test_the_request_survives_every_move_but_the_last() -> None:
    job = make_job(state=State.QUEUED)
    sealed = bytes(job.request or b"")
    move(job, State.SUBMITTING, attempt_key="a" * 40, next_find_at=timezone.now(), next_submit_at=None)
    assert bytes(Job.objects.values_list("request", flat=True).get(pk=job.pk) or b"") == sealed


def test_the_final_move_makes_one_usage_record_however_often_it_is_tried() -> None:
    job = make_job(state=State.RUNNING)
    move(job, State.SUCCEEDED)
    move(job, State.FAILED)
    assert UsageRecord.objects.filter(job=job).count() == 1


def test_a_move_that_cannot_be_written_writes_nothing_at_all() -> None:
    job = make_job(state=State.QUEUED)
    lines = Transition.objects.count()
    with pytest.raises(IntegrityError), transaction.atomic():
        move(job, State.SUBMITTING)  # no attempt is recorded
    job.refresh_from_db()
    assert (job.state, Transition.objects.count()) == (State.QUEUED, lines)


def test_many_moves_take_as_many_statements_as_one() -> None:
    def statements(jobs: int) -> int:
        rows = [make_job(state=State.RUNNING) for _ in range(jobs)]
        moves = [Move(job.pk, job.attempt, State.SUCCEEDED) for job in rows]
        with CaptureQueriesContext(connection) as queries:
            lifecycle.move(moves, now=timezone.now())
        return len(queries)

    assert statements(30) == statements(1)


def test_a_sweep_moves_each_job_once() -> None:
    jobs = [make_job(state=State.HELD) for _ in range(5)]
    moved = lifecycle.move_all(Job.objects.all(), changes={"reason": "NoRoute"}, now=timezone.now())
    assert moved == sorted(job.pk for job in jobs)


def test_a_job_that_was_started_meanwhile_keeps_its_site_and_its_demand(vega: Site, node: VirtualNode) -> None:
    """The sweep that places held jobs reads them without a lock: its news may come after a worker's start."""
    job = make_job(node=node, state=State.QUEUED, cpus=4)
    other = make_site()
    late: Changes = {"site_id": other.pk, "reason": "", **lifecycle.demand_columns(Demand(cpus_per_task=64))}
    assert lifecycle.move([Move(job.pk, job.attempt, changes=late)], now=timezone.now()) == []
    job.refresh_from_db()
    assert job.demand is not None
    assert (job.site_id, job.cpus, job.demand["cpus_per_task"]) == (vega.pk, 4, 4)
