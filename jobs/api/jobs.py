"""The views of jobs: list, submit, and show one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.response import Response

from controlplane.api.bodies import asked
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from jobs import admission, queries
from jobs.api import job_detail, job_list
from jobs.api.job_detail import JobDetailOut
from jobs.api.job_list import JobOut, JobQuery
from jobs.api.job_submit import EXAMPLES, MANIFEST, SubmitQuery, body_of, tenant_of
from jobs.api.manifest_parsers import PARSERS

if TYPE_CHECKING:
    from rest_framework.request import Request


class Jobs(ApiView):
    """Lists jobs and submits new ones."""

    actions = {"GET": Action.JOBS_READ, "POST": Action.JOBS_SUBMIT}
    parser_classes = PARSERS

    @operation(
        "listJobs",
        "List the jobs that you may see",
        answers=pages_of(JobOut),
        query=JobQuery,
        examples=[job_list.LIST_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """Newest first. With `changed_since`, in the order of last changes: each job once, about five seconds after its
        last change. To follow all changes, ask the address in `next` again and again."""
        return job_list.job_page(request, self.reach, self.caller)

    @operation(
        "submitJob",
        "Submit a pod without a cluster",
        answers={201: JobDetailOut},
        takes=MANIFEST,
        query=SubmitQuery,
        errors=[404, 422],
        examples=[
            *EXAMPLES,
            OpenApiExample("the job", job_detail.EXAMPLE, response_only=True, status_codes=["201"]),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Takes a v1 Pod, or a v1 List or several YAML documents with one Pod and the ConfigMaps and Secrets that it
        needs. Where a limit of the tenant does not allow the job now, the job waits and says for what."""
        query = asked(request, SubmitQuery)
        tenant = tenant_of(self.reach, query)
        job = admission.submit_pod(
            self.caller, body_of(request, tenant), tenant_id=tenant.pk, site_slug=query.get("site"), now=timezone.now()
        )
        found, address = queries.job(self.reach, job.key), f"{request.path.rstrip('/')}/{job.key}"
        return Response(shown(JobDetailOut, found), status=201, headers={"Location": address})


class JobDetail(ApiView):
    """Shows one job."""

    actions = {"GET": Action.JOBS_READ}

    @operation(
        "getJob",
        "Show one job, with its history and why it waits",
        answers=JobDetailOut,
        examples=[OpenApiExample("a job that waits", job_detail.EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, key: str) -> Response:
        return Response(shown(JobDetailOut, queries.job(self.reach, key)))
