"""Two tenants, two sites, and the people around them, calling the API as the database's web role."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from controlplane.auth.callers import PersonCaller
from controlplane.auth.rights import Held, Rights
from controlplane.auth.roles import Role
from tests.factories import make_person, make_site, make_tenant
from tests.web_role import as_web_role

if TYPE_CHECKING:
    from controlplane.auth.callers import ServiceCaller
    from controlplane.tenants.models import Person, Tenant
    from sites.models import Site


@dataclass(frozen=True)
class Answer:
    """What the API said. queries: how many statements it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    queries: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Caller:
    """Somebody with a good token."""

    person: Person
    caller: PersonCaller | ServiceCaller

    def get(self, path: str, **query: Any) -> Answer:
        return self._call("get", path, query)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self._call("post", path, body, format="json", headers=headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self._call("patch", path, body, format="json")

    def delete(self, path: str) -> Answer:
        return self._call("delete", path)

    def send(self, path: str, body: bytes, content_type: str, **headers: str) -> Answer:
        """A POST of a body as it is."""
        return self._call("post", path, body, content_type=content_type, headers=headers)

    def _call(self, method: str, path: str, data: Any = None, **more: Any) -> Answer:
        client = APIClient()
        client.force_authenticate(user=self.caller)  # type: ignore[arg-type]  # its user is no model of Django's
        address = path if path.startswith("/") else f"/api/v1/{path}"
        with as_web_role(), CaptureQueriesContext(connection) as queries:
            response: Any = getattr(client, method)(address, data, **more)
            body = b"".join(response.streaming_content) if response.streaming else response.content
            response.close()
        return Answer(response.status_code, dict(response.headers), body, len(queries))


def call_as(person: Person, *held: Held) -> Caller:
    """A person who holds these roles."""
    return Caller(person, PersonCaller(person.pk, person.name, Rights(held)))


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


def make_federation() -> Federation:
    climate, physics = make_tenant(slug="climate", name="Climate"), make_tenant(slug="physics", name="Physics")
    vega = make_site(slug="vega", name="Vega", config={"name": "vega"})
    juno = make_site(slug="juno", name="Juno", config={"name": "juno"})
    return Federation(
        climate=climate,
        physics=physics,
        vega=vega,
        juno=juno,
        alice=_somebody("Alice", Held(Role.TENANT_MANAGER, climate.pk)),
        adam=_somebody("Adam", Held(Role.TENANT_MEMBER, climate.pk)),
        bob=_somebody("Bob", Held(Role.TENANT_MANAGER, physics.pk)),
        vera=_somebody("Vera", Held(Role.SITE_OPERATOR, site="vega")),
        juna=_somebody("Juna", Held(Role.SITE_OPERATOR, site="juno")),
        olga=_somebody("Olga", Held(Role.FEDERATION_OPERATOR)),
        ada=_somebody("Ada", Held(Role.FEDERATION_AUDITOR)),
        nora=_somebody("Nora"),
    )


def _somebody(name: str, *held: Held) -> Caller:
    return call_as(make_person(name=name), *held)
