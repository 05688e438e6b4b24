"""Two tenants, two sites, and the people around them, each with a token of all scopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.auth.memberships import give_membership, give_role
from controlplane.tenants.models import Membership, RoleGrant
from tests.factories import make_person, make_site, make_tenant
from tests.federation import token_of

if TYPE_CHECKING:
    from controlplane.tenants.models import Person, ServiceAccount, Tenant
    from sites.models import Site
    from tests.api import Api
    from tests.wire import Answer

MANAGER, MEMBER = Membership.Role.MANAGER, Membership.Role.MEMBER


@dataclass(frozen=True)
class Caller:
    """Somebody, or a program, with a good token."""

    person: Any
    token: str
    api: Api

    def get(self, path: str, **query: Any) -> Answer:
        asked = f"{path}?{urlencode(query, doseq=True)}" if query else path
        return self.api.get(asked, token=self.token)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.api.post(path, body, token=self.token, headers=headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self.api.patch(path, body, token=self.token)

    def send(self, path: str, body: bytes, content_type: str, **headers: str) -> Answer:
        """A POST of a body as it is."""
        return self.api.post(path, body, token=self.token, headers={"Content-Type": content_type, **headers})

    def statements(self, path: str) -> int:
        """How many a GET takes."""
        self.get(path)  # the first one of a token finds out whose it is
        with CaptureQueriesContext(connection) as queries:
            answer = self.get(path)
        assert answer.status == 200, answer.text
        return len(queries)


def caller_of(owner: Person | ServiceAccount, api: Api) -> Caller:
    return Caller(owner, token_of(owner), api)


@dataclass(frozen=True)
class Federation:
    """alice manages climate and adam is a member of it; bob is of physics; vera operates vega and juna juno; olga runs
    the federation, and ada audits it; nora has nothing."""

    climate: Tenant
    physics: Tenant
    vega: Site
    juno: Site
    alice: Caller
    adam: Caller
    bob: Caller
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
    give_role(people["vera"], RoleGrant.Role.SITE_OPERATOR, site="vega")
    give_role(people["juna"], RoleGrant.Role.SITE_OPERATOR, site="juno")
    give_role(people["olga"], RoleGrant.Role.FEDERATION_OPERATOR)
    give_role(people["ada"], RoleGrant.Role.FEDERATION_AUDITOR)
    return Federation(
        climate=climate,
        physics=physics,
        vega=make_site(slug="vega", name="Vega", config={"name": "vega"}),
        juno=make_site(slug="juno", name="Juno", config={"name": "juno"}),
        **{name: caller_of(person, api) for name, person in people.items()},
    )


_PEOPLE = ("alice", "adam", "bob", "vera", "juna", "olga", "ada", "nora")
