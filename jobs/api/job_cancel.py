"""/jobs/<key>/cancel: cancels a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.response import Response

from controlplane.api.pages import shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.errors import Conflict
from jobs import cancellation, permissions, queries
from jobs.api.job_detail import JobDetailOut
from sites.reasons import Reason

if TYPE_CHECKING:
    from rest_framework.request import Request


class JobCancel(ApiView):
    """Cancels a job."""

    actions = {"POST": Action.JOBS_CANCEL}

    @operation("cancelJob", "Cancel a job", answers={202: JobDetailOut}, errors=[409])
    def post(self, request: Request, key: str) -> Response:
        """The request is kept until the site has carried it out, however long the site does not answer. A member may
        cancel the jobs that they submitted themselves. A second request changes nothing."""
        job = queries.job(self.reach, key)
        permissions.require_cancel(self.caller, job)
        if job.ended_at is not None:
            raise Conflict(f"The job has ended already: it has {job.state}.")
        by = self.caller.actor.name
        cancellation.cancel([job.pk], reason=Reason.CANCELLED, message=f"Cancelled by {by}.", now=timezone.now())
        return Response(shown(JobDetailOut, queries.job(self.reach, key)), status=202)
