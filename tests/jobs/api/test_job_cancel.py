"""Cancelling by REST: which jobs a caller may cancel, and what happens then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controlplane.audit.models import Event
from controlplane.auth.memberships import give_membership
from jobs.models import Job
from jobs.states import State
from tests.factories import make_job, make_node
from tests.federation import MEMBER

if TYPE_CHECKING:
    from tests.federation import Caller, Federation


def a_job(federation: Federation, *, by: Caller | None = None, **fields: Any) -> Job:
    """Return a job of climate at Vega, submitted by a person or by a virtual node."""
    node = make_node(tenant=federation.climate, site=federation.vega)[0]
    job = make_job(node=node, site=federation.vega, **fields)
    if by is not None:
        Job.objects.filter(pk=job.pk).update(node=None, person=by.person)
    return job


def cancel(caller: Caller, job: Job) -> int:
    return caller.post(f"jobs/{job.key}/cancel").status


def test_a_job_without_a_site_ends_at_once_and_the_trail_names_who_cancelled(federation: Federation) -> None:
    job = a_job(federation, by=federation.adam)
    answer = federation.adam.post(f"jobs/{job.key}/cancel")
    assert (answer.status, answer.json["state"], answer.json["message"]) == (202, "cancelled", "Cancelled by Adam.")
    event = Event.objects.get(object_id=job.key)
    told = (event.verb, event.actor, event.tenant_id, event.site)
    assert told == ("job.cancel", "Adam", federation.climate.pk, "vega")
    again = federation.adam.post(f"jobs/{job.key}/cancel")
    assert (again.status, again.json["code"]) == (409, "conflict")


def test_a_job_at_its_site_keeps_the_request_and_repeating_it_changes_nothing(federation: Federation) -> None:
    job = a_job(federation, state=State.RUNNING)
    first = federation.alice.post(f"jobs/{job.key}/cancel").json
    assert (first["state"], first["cancelling"], first["cancel_reason"]) == ("running", True, "Cancelled")
    again = federation.vera.post(f"jobs/{job.key}/cancel")
    assert (again.status, again.json["cancel_requested_at"]) == (202, first["cancel_requested_at"])
    assert Event.objects.filter(object_id=job.key).count() == 1


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("alice", 202),
        ("vera", 202),
        ("olga", 202),
        ("adam", 403),
        ("ada", 403),
        ("nora", 403),
        ("bob", 404),
        ("juna", 404),
    ],
)
def test_the_role_decides_who_may_cancel_another_persons_job(federation: Federation, who: str, status: int) -> None:
    job = a_job(federation, by=federation.alice)
    assert cancel(getattr(federation, who), job) == status
    job.refresh_from_db()
    assert (job.state == State.CANCELLED) is (status == 202)


def test_a_member_may_not_cancel_a_clusters_job(federation: Federation) -> None:
    assert cancel(federation.adam, a_job(federation)) == 403


def test_a_manager_of_one_tenant_is_only_a_member_in_another(federation: Federation) -> None:
    give_membership(federation.bob.person, federation.climate, MEMBER)
    assert cancel(federation.bob, a_job(federation, by=federation.alice)) == 403
    assert cancel(federation.bob, a_job(federation, by=federation.bob)) == 202
