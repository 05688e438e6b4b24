from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.states import State
from tests.factories import make_job, make_pod, make_request

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def test_an_operator_cancels_a_queued_job_and_its_owner_reads_by_whom(operator: Client) -> None:
    job = make_job(state=State.QUEUED)
    operator.post("/admin/jobs/job/", {"action": "cancel", "_selected_action": [job.pk]})
    job.refresh_from_db()
    assert (job.state, job.message) == (State.CANCELLED, "Cancelled by operator.")


def test_a_running_job_gets_a_cancellation_request(operator: Client) -> None:
    job = make_job(state=State.RUNNING)
    operator.post("/admin/jobs/job/", {"action": "cancel", "_selected_action": [job.pk]})
    job.refresh_from_db()
    assert job.state == State.RUNNING
    assert job.next_cancel_at is not None


def test_a_jobs_page_shows_its_history_and_nothing_of_its_request(operator: Client) -> None:
    pod = make_pod()
    pod["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "hunter2"}]
    job = make_job(state=State.QUEUED, request=make_request(pod))
    page = operator.get(f"/admin/jobs/job/{job.pk}/change/").content.decode()
    assert "queued" in page
    assert "hunter2" not in page


def test_nobody_edits_or_adds_a_job(operator: Client) -> None:
    job = make_job()
    assert operator.get("/admin/jobs/job/add/").status_code == 403
    assert operator.post(f"/admin/jobs/job/{job.pk}/change/", {"state": "failed"}).status_code == 403
