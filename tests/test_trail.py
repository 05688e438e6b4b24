"""Every address of the API that changes something records it, and changes nothing that it cannot record."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import connection

from controlplane.audit.models import Event
from controlplane.auth.roles import RULES, Action, Role
from tests.addresses import ALL, ENTRIES, Someone, filled, with_names
from tests.federation import new_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.tenants.models import ApiToken
    from tests.api import Api
    from tests.federation import Communities, Federation

#: Actions that only answer a question.
QUIET = frozenset({"POST claims/try", "POST jobs/explain"})
CHANGING = [each for each in ALL if not each.startswith("GET ") and each not in QUIET]
#: Requests with another body than in test_roles.py, which would be a conflict here.
BODIES: dict[str, Any] = {
    "POST allocations": {"tenant": "physics", "site": "vega", "local_account": "bio"},
    "POST requests": {"kind": "allocation", "site": "juno", "tenant": "climate", "payload": {"cpus": 4}},
}
APPS = ("tenants", "hpc_sites", "jobs")


@dataclass(frozen=True)
class Request:
    """An allowed request for which everything exists already. by: the token, whose text is in `text`."""

    method: str
    path: str
    body: Any
    by: ApiToken
    text: str

    def send(self, api: Api) -> int:
        return api.call(self.method, self.path, self.body, token=self.text).status


@pytest.fixture
def asked(address: str, api: Api, federation: Federation, communities: Communities) -> Request:
    action = ENTRIES[address].action
    assert action is not None
    is_operators = Role.FEDERATION_OPERATOR in RULES[action].roles and action is not Action.TOKENS_OWN
    person = federation.olga.person if is_operators else federation.alice.person
    by, text = new_token(person)
    assert api.get("me", token=text).status == 200  # its first use is recorded now, and not again within the minute
    method, pattern = address.split(" ", 1)
    someone = Someone(person.name, text, frozenset(), spare=new_token(person)[0])
    body = with_names(BODIES.get(address, ENTRIES[address].body), communities.climate, federation)
    path = filled(pattern, communities.climate, federation, someone)
    return Request(method, path, {} if body is None and method != "DELETE" else body, by, text)


@pytest.mark.parametrize("address", CHANGING)
def test_each_change_is_recorded_with_who_did_it(api: Api, asked: Request) -> None:
    before = set(Event.objects.values_list("pk", flat=True))
    status = asked.send(api)
    assert 200 <= status < 300, f"it answers {status}: this test needs a request that succeeds"
    told = {(each.actor_id, each.token_id, each.outcome) for each in Event.objects.exclude(pk__in=before)}
    assert told == {(asked.by.person_id, asked.by.pk, "done")}


@pytest.mark.parametrize("address", CHANGING)
def test_a_change_that_cannot_be_recorded_is_not_made(api: Api, asked: Request) -> None:
    before = rows()
    with full_trail():
        assert asked.send(api) >= 500
    assert rows() == before


@contextmanager
def full_trail() -> Iterator[None]:
    """Make inserts into the trail fail, until the test's transaction ends at the latest."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION say_no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the trail is full'; END $$"
        )
        cursor.execute("CREATE TRIGGER say_no BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION say_no()")
        yield
        cursor.execute("DROP FUNCTION say_no() CASCADE")


def rows() -> dict[str, Any]:
    """Return all rows of our tables except the trail, by table."""
    found = {}
    with connection.cursor() as cursor:
        for model in [model for label in APPS for model in apps.get_app_config(label).get_models()]:
            table = model._meta.db_table
            cursor.execute(f"SELECT array_agg(each::text ORDER BY each::text) FROM {table} AS each")
            found[table] = cursor.fetchone()
    return found
