"""Rules on jobs that depend on the row, beside the reach of an action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.auth.roles import Action, Role
from controlplane.errors import Forbidden

if TYPE_CHECKING:
    from controlplane.auth.callers import PersonCaller, ServiceCaller
    from jobs.models import Job


def may_cancel(caller: PersonCaller | ServiceCaller, job: Job) -> bool:
    """Whether the caller may cancel this job.

    Operators of a site may cancel the jobs there, managers of a tenant the tenant's jobs, members the jobs that they
    submitted. Raises Forbidden where the caller may cancel no job at all.
    """
    reach = caller.rights.reach(Action.JOBS_CANCEL)
    if reach.everything or (job.site is not None and job.site.slug in reach.sites):
        return True
    if job.tenant_id not in reach.tenants:
        return False
    return Role.TENANT_MANAGER in caller.rights.roles_in(job.tenant_id) or is_own(caller, job)


def require_cancel(caller: PersonCaller | ServiceCaller, job: Job) -> None:
    """Raises Forbidden unless the caller may cancel this job."""
    if not may_cancel(caller, job):
        raise Forbidden("You may only cancel jobs that you submitted yourself; ask a manager of the tenant.")


def is_own(caller: PersonCaller | ServiceCaller, job: Job) -> bool:
    """Whether the caller submitted the job. Jobs of a virtual node were submitted by no person or service account."""
    if job.person_id is None and job.service_id is None:
        return False
    return (job.person_id, job.service_id) == (caller.person_id, caller.service_id)
