"""Who may do what with jobs, where an action's reach alone does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.auth.roles import Action, Role
from controlplane.errors import Forbidden

if TYPE_CHECKING:
    from controlplane.auth.callers import PersonCaller, ServiceCaller
    from jobs.models import Job


def may_cancel(caller: PersonCaller | ServiceCaller, job: Job) -> bool:
    """A site's operators cancel what runs there, managers what is their tenant's, members what they have submitted.

    Raises Forbidden where the caller may cancel nothing at all.
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
        raise Forbidden("You may cancel the jobs that you have submitted yourself; ask a manager of the tenant.")


def is_own(caller: PersonCaller | ServiceCaller, job: Job) -> bool:
    """Whether the caller has submitted it. What a virtual node sent is no person's and no program's."""
    if job.person_id is None and job.service_id is None:
        return False
    return (job.person_id, job.service_id) == (caller.person_id, caller.service_id)
