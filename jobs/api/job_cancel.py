"""/jobs/<key>/cancel: the wish that a job ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.response import Response

from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action, Role
from controlplane.errors import Conflict, Forbidden
from jobs import cancellation
from jobs.api import job_detail, job_list
from jobs.api.job_detail import JobDetailOut
from jobs.models import Job
from sites.reasons import Reason

if TYPE_CHECKING:
    from rest_framework.request import Request


class JobCancel(ApiView):
    """The wish that a job ends."""

    actions = {"POST": Action.JOBS_CANCEL}

    @operation("cancelJob", "Cancel a job", answers={202: JobDetailOut}, errors=[409])
    def post(self, request: Request, key: str) -> Response:
        """The wish is kept until the site has carried it out, however long it does not answer. A member may cancel the
        jobs that they have submitted themselves. Asking twice changes nothing."""
        job = job_detail.find(key, self.reach)
        self._require_right(job)
        if job.ended_at is not None:
            raise Conflict(f"The job has ended already: it has {job.state}.")
        by = self.caller.actor.name
        cancellation.cancel([job.pk], reason=Reason.CANCELLED, message=f"Cancelled by {by}.", now=timezone.now())
        return Response(job_detail.told(key, self.reach), status=202)

    def _require_right(self, job: Job) -> None:
        """Who has nothing but membership cancels what is their own."""
        if self.reach.everything or (job.site is not None and job.site.slug in self.reach.sites):
            return
        if Role.TENANT_MANAGER in self.caller.rights.roles_in(job.tenant_id):
            return
        if not Job.objects.filter(job_list.own(self.caller), pk=job.pk).exists():
            raise Forbidden("You may cancel the jobs that you have submitted yourself; ask a manager of the tenant.")
