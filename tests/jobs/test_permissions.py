"""Who may do what with one job, on every page and in every program."""

from __future__ import annotations

import pytest

from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.auth.rights import Held, Rights
from controlplane.auth.roles import Role
from controlplane.errors import Forbidden
from jobs import permissions
from jobs.models import Job
from sites.models import Site

OURS, THEIRS, ALICE, BOB = 1, 2, 11, 12
VEGA = Site(slug="vega")


def someone(role: Role, *, person: int = ALICE, tenant: int | None = None, site: str = "") -> PersonCaller:
    return PersonCaller(person, "Somebody", Rights((Held(role, tenant, site),)))


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (someone(Role.FEDERATION_OPERATOR, person=BOB), True),
        (someone(Role.SITE_OPERATOR, person=BOB, site="vega"), True),
        (someone(Role.SITE_OPERATOR, person=BOB, site="juno"), False),
        (someone(Role.TENANT_MANAGER, person=BOB, tenant=OURS), True),
        (someone(Role.TENANT_MANAGER, person=BOB, tenant=THEIRS), False),
        (someone(Role.TENANT_MEMBER, person=ALICE, tenant=OURS), True),
        (someone(Role.TENANT_MEMBER, person=BOB, tenant=OURS), False),
        # Alice submitted it and has left the tenant.
        (someone(Role.TENANT_MEMBER, person=ALICE, tenant=THEIRS), False),
        (ServiceCaller(OURS, "A program", Rights((Held(Role.TENANT_MEMBER, OURS),)), service_id=ALICE), False),
    ],
)
def test_only_some_roles_may_cancel_what_alice_submitted(caller: PersonCaller | ServiceCaller, may: bool) -> None:  # noqa: FBT001
    job = Job(tenant_id=OURS, person_id=ALICE, site=VEGA)
    assert permissions.may_cancel(caller, job) is may


def test_a_virtual_nodes_job_belongs_to_no_member() -> None:
    job = Job(tenant_id=OURS, node_id=1, site=VEGA)
    without_account = ServiceCaller(OURS, "A program", Rights((Held(Role.TENANT_MEMBER, OURS),)))
    for caller in (without_account, someone(Role.TENANT_MEMBER, tenant=OURS)):
        assert not permissions.may_cancel(caller, job)
        with pytest.raises(Forbidden, match="submitted yourself"):
            permissions.require_cancel(caller, job)


def test_a_caller_without_a_role_that_cancels_is_refused_with_a_sentence() -> None:
    with pytest.raises(Forbidden, match="None of your roles"):
        permissions.may_cancel(someone(Role.FEDERATION_AUDITOR), Job(tenant_id=OURS, person_id=ALICE, site=VEGA))
