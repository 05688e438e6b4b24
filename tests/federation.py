"""A small federation for tests: two communities, two sites, somebody of every role, and what each of them owns.

Vega serves chemistry, Leonardo serves biology. Each role's token has all scopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from controlplane.auth.memberships import give_membership, give_role
from controlplane.auth.roles import Scope
from controlplane.auth.tokens import issue
from controlplane.tenants.models import ApprovalRequest, Membership, Person, RoleGrant
from sites.models import Allocation
from tests.factories import make_job, make_node, make_person, make_service, make_site, make_tenant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.tenants.models import ApiToken, ServiceAccount, Tenant, VirtualNode
    from jobs.models import Job
    from sites.models import Site

_MONTH = timedelta(days=30)
MANAGER, MEMBER = Membership.Role.MANAGER, Membership.Role.MEMBER


@dataclass(frozen=True)
class Community:
    """A tenant with an allocation at its site, people and programs, the manager's open request and the member's job."""

    tenant: Tenant
    site: Site
    manager: Person
    member: Person
    node: VirtualNode
    node_token: str
    service: ServiceAccount
    managing_service: ServiceAccount
    membership: Membership
    allocation: Allocation
    request: ApprovalRequest
    job: Job

    @property
    def slug(self) -> str:
        return self.tenant.slug


@dataclass(frozen=True)
class Federation:
    chemistry: Community
    biology: Community
    operator: Person
    auditor: Person
    site_operator: Person
    guest: Person


def make_federation() -> Federation:
    """site_operator runs Vega; guest has no role at all."""
    chemistry, biology = make_community("chemistry", site="vega"), make_community("biology", site="leonardo")
    operator, auditor = make_person(name="Olga Operator"), make_person(name="Aino Auditor")
    site_operator, guest = make_person(name="Sanja Site"), make_person(name="Gustav Guest")
    give_role(operator, RoleGrant.Role.FEDERATION_OPERATOR)
    give_role(auditor, RoleGrant.Role.FEDERATION_AUDITOR)
    give_role(site_operator, RoleGrant.Role.SITE_OPERATOR, site="vega")
    return Federation(chemistry, biology, operator, auditor, site_operator, guest)


def make_community(name: str, *, site: str) -> Community:
    tenant, place = make_tenant(slug=name, name=name.title()), make_site(slug=site, name=site.title())
    allocation = Allocation.objects.create(tenant=tenant, site=place)
    manager, member = make_person(name=f"Manager of {name}"), make_person(name=f"Member of {name}")
    give_membership(manager, tenant, MANAGER)
    node, node_token = make_node(tenant=tenant, site=place, slug=f"{name}-1")
    return Community(
        tenant=tenant,
        site=place,
        manager=manager,
        member=member,
        node=node,
        node_token=node_token,
        service=make_service(tenant=tenant, slug="pipeline"),
        managing_service=make_service(tenant=tenant, slug="manager", role=MANAGER),
        membership=give_membership(member, tenant, MEMBER),
        allocation=allocation,
        request=ApprovalRequest.objects.create(
            tenant=tenant, site=site, kind="extension", subject=allocation.pk, payload={"cpus": 8}, asked_by=manager
        ),
        job=make_job(node=node, site=place, person=member),
    )


def token_of(
    owner: Person | ServiceAccount, *, scopes: Iterable[str] = frozenset(Scope), tenant: Tenant | None = None
) -> str:
    """The text of a new token of a person or service account."""
    return new_token(owner, scopes=scopes, tenant=tenant)[1]


def new_token(
    owner: Person | ServiceAccount, *, scopes: Iterable[str] = frozenset(Scope), tenant: Tenant | None = None
) -> tuple[ApiToken, str]:
    if isinstance(owner, Person):
        return issue.mint_personal(owner, scopes=scopes, tenant=tenant, lifetime=_MONTH)
    return issue.mint_service(owner, scopes=scopes, lifetime=_MONTH)
