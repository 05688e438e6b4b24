"""The addresses of jobs: the list, one of them, and cancelling it. Submitting is in `submitting.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.response import Response

from controlplane.audit import trail
from controlplane.auth.roles import Action, Role
from controlplane.errors import Conflict, Forbidden
from jobs import explaining, wishes
from jobs.api import job_detail, job_list
from jobs.api.base import ApiView
from jobs.api.job_detail import JobDetailOut
from jobs.api.schema import operation
from jobs.models import Job

if TYPE_CHECKING:
    from rest_framework.request import Request


class JobDetail(ApiView):
    """One job."""

    actions = {"GET": Action.JOBS_READ}

    @operation(
        "get_job",
        "One job, with its history and why it waits",
        answers=JobDetailOut,
        examples=[OpenApiExample("a job that waits", job_detail.EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, key: str) -> Response:
        return Response(told(job_detail.find(key, self.reach)))


class JobCancel(ApiView):
    """The wish that a job ends."""

    actions = {"POST": Action.JOBS_CANCEL}

    @operation("cancel_job", "Cancel a job", answers={202: JobDetailOut}, errors=[409])
    def post(self, request: Request, key: str) -> Response:
        """The wish is kept until the site has carried it out, however long it does not answer. A member may cancel the
        jobs that they have submitted themselves. Asking twice changes nothing."""
        job = job_detail.find(key, self.reach)
        self._require_right(job)
        if job.ended_at is not None:
            raise Conflict(f"The job has ended already: it has {job.state}.")
        by = self.caller.actor.name
        if wishes.cancel([job.pk], reason="Cancelled", message=f"Cancelled by {by}.", now=timezone.now()):
            site = job.site.slug if job.site else ""
            trail.record("job.cancel", "job", job.key, tenant_id=job.tenant_id, site=site)
        return Response(told(job_detail.find(key, self.reach)), status=202)

    def _require_right(self, job: Job) -> None:
        """Who has nothing but membership cancels what is their own."""
        if self.reach.everything or (job.site is not None and job.site.slug in self.reach.sites):
            return
        if Role.TENANT_MANAGER in self.caller.rights.roles_in(job.tenant_id):
            return
        if not Job.objects.filter(job_list.own(self.caller), pk=job.pk).exists():
            raise Forbidden("You may cancel the jobs that you have submitted yourself; ask a manager of the tenant.")


def told(job: Any) -> dict[str, Any]:
    """A job of `job_detail.find`, with why it waits as it is now."""
    waits = explaining.why_waits(job, now=timezone.now()) if job_detail.is_waiting(job) else ""
    return job_detail.shown(job, waits=waits)
