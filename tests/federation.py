"""The example people of all tests: two tenants, two sites, a person for every role, and what the communities own.

Vega serves climate, Juno serves physics.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.auth.memberships import give_membership, give_role
from controlplane.auth.roles import Scope
from controlplane.auth.tokens import issue
from controlplane.tenants.models import ApprovalRequest, Membership, Person, RoleGrant
from tests.factories import make_allocation, make_job, make_node, make_person, make_service, make_site, make_tenant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.tenants.models import ApiToken, ServiceAccount, Tenant, VirtualNode
    from jobs.models import Job
    from sites.models import Allocation, Site
    from tests.api import Api
    from tests.wire import Answer

_MONTH = timedelta(days=30)
MANAGER, MEMBER = Membership.Role.MANAGER, Membership.Role.MEMBER


@dataclass(frozen=True)
class Caller:
    """A person or program that calls the API, with a token of all scopes that is made at the first call."""

    person: Any
    api: Api

    @cached_property
    def token(self) -> str:
        return token_of(self.person)

    def get(self, path: str, **query: Any) -> Answer:
        asked = f"{path}?{urlencode(query, doseq=True)}" if query else path
        return self.api.get(asked, token=self.token)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.api.post(path, body, token=self.token, headers=headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self.api.patch(path, body, token=self.token)

    def send(self, path: str, body: bytes, content_type: str, **headers: str) -> Answer:
        """POST a body unchanged."""
        return self.api.post(path, body, token=self.token, headers={"Content-Type": content_type, **headers})

    def statements(self, path: str) -> int:
        """Return how many statements a GET takes."""
        self.get(path)  # the first call with a token looks up its owner
        with CaptureQueriesContext(connection) as queries:
            answer = self.get(path)
        assert answer.status == 200, answer.text
        return len(queries)


@dataclass(frozen=True)
class Federation:
    """The example people.

    alice manages climate and adam is a member of it; bob manages physics and bea is a member of it; vera operates vega
    and juna operates juno; olga is the federation's operator and ada its auditor; nora has no role.
    """

    climate: Tenant
    physics: Tenant
    vega: Site
    juno: Site
    alice: Caller
    adam: Caller
    bob: Caller
    bea: Caller
    vera: Caller
    juna: Caller
    olga: Caller
    ada: Caller
    nora: Caller


def make_federation(api: Api) -> Federation:
    climate, physics = make_tenant(slug="climate", name="Climate"), make_tenant(slug="physics", name="Physics")
    people = {name: make_person(name=name.title()) for name in _PEOPLE}
    give_membership(people["alice"], climate, MANAGER)
    give_membership(people["adam"], climate, MEMBER)
    give_membership(people["bob"], physics, MANAGER)
    give_membership(people["bea"], physics, MEMBER)
    give_role(people["vera"], RoleGrant.Role.SITE_OPERATOR, site="vega")
    give_role(people["juna"], RoleGrant.Role.SITE_OPERATOR, site="juno")
    give_role(people["olga"], RoleGrant.Role.FEDERATION_OPERATOR)
    give_role(people["ada"], RoleGrant.Role.FEDERATION_AUDITOR)
    return Federation(
        climate=climate,
        physics=physics,
        vega=make_site(slug="vega", name="Vega", config={"name": "vega"}),
        juno=make_site(slug="juno", name="Juno", config={"name": "juno"}),
        **{name: Caller(person, api) for name, person in people.items()},
    )


_PEOPLE = ("alice", "adam", "bob", "bea", "vera", "juna", "olga", "ada", "nora")


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
class Communities:
    climate: Community
    physics: Community


def make_communities(federation: Federation) -> Communities:
    """Create what the tenants of the federation own."""
    return Communities(
        climate=_community(federation.climate, federation.vega, federation.alice.person, federation.adam.person),
        physics=_community(federation.physics, federation.juno, federation.bob.person, federation.bea.person),
    )


def _community(tenant: Tenant, site: Site, manager: Person, member: Person) -> Community:
    node, node_token = make_node(tenant=tenant, site=site, slug=f"{tenant.slug}-1")
    allocation = make_allocation(tenant, site)
    asked: dict[str, Any] = {"kind": "extension", "subject": allocation.pk, "payload": {"cpus": 8}}
    return Community(
        tenant=tenant,
        site=site,
        manager=manager,
        member=member,
        node=node,
        node_token=node_token,
        service=make_service(tenant=tenant, slug="pipeline"),
        managing_service=make_service(tenant=tenant, slug="manager", role=MANAGER),
        membership=Membership.objects.get(tenant=tenant, person=member),
        allocation=allocation,
        request=ApprovalRequest.objects.create(tenant=tenant, site=site.slug, asked_by=manager, **asked),
        job=make_job(node=node, site=site, person=member),
    )


def token_of(
    owner: Person | ServiceAccount, *, scopes: Iterable[str] = frozenset(Scope), tenant: Tenant | None = None
) -> str:
    """Return the text of a new token of a person or service account."""
    return new_token(owner, scopes=scopes, tenant=tenant)[1]


def new_token(
    owner: Person | ServiceAccount, *, scopes: Iterable[str] = frozenset(Scope), tenant: Tenant | None = None
) -> tuple[ApiToken, str]:
    if isinstance(owner, Person):
        return issue.mint_personal(owner, scopes=scopes, tenant=tenant, lifetime=_MONTH)
    return issue.mint_service(owner, scopes=scopes, lifetime=_MONTH)
