"""The audit trail: written together with the change it describes, and never changed afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from controlplane.audit import actors, months, trail
from controlplane.audit.actors import Actor
from controlplane.audit.models import Event
from tests.factories import make_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    trail.record("tenant.create", "tenant", "demo", tenant_id=7, changes={"name": [None, "Demo"]})
    return Event.objects.get(tenant_id=7)


@pytest.fixture
def partitions() -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS audit_event_y2019m12, audit_event_y2020m01")


def test_an_event_names_the_actor_the_verb_the_object_and_the_origin() -> None:
    alice = Actor("person", 3, "Alice", token_id=5, address="192.0.2.7", request_id="r1")
    with actors.acting(alice):
        trail.record("token.revoke", "token", 9, tenant_id=7, site="vega")
    event = Event.objects.get(tenant_id=7)
    assert (event.actor_kind, event.actor_id, event.actor, event.token_id) == ("person", 3, "Alice", 5)
    assert (event.verb, event.object_kind, event.object_id, event.site) == ("token.revoke", "token", "9", "vega")
    assert (event.address, event.request_id, event.outcome) == ("192.0.2.7", "r1", "done")


def test_an_actor_bound_in_a_request_keeps_its_address_and_id() -> None:
    with actors.acting(Actor("anonymous", address="192.0.2.7", request_id="r1")):
        actors.bind(Actor("person", 3, "Alice"))
        assert actors.current() == Actor("person", 3, "Alice", address="192.0.2.7", request_id="r1")
    assert actors.current() == actors.SYSTEM


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET actor = 'Mallory'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
def test_no_role_changes_or_removes_an_event_not_even_the_owner(event: Event, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Event.objects.get(pk=event.pk).actor == event.actor


@pytest.mark.parametrize("role", ["web", "worker"])
@pytest.mark.parametrize("right", ["UPDATE", "DELETE", "TRUNCATE"])
def test_the_services_roles_have_no_right_to_change_events(
    database_urls: dict[str, str], role: str, right: str
) -> None:
    for table in ("audit_event", "audit_event_unsorted"):
        assert not _may(database_urls[role], table, right)


@pytest.mark.parametrize("role", ["web", "worker"])
def test_the_partitions_do_not_bypass_row_security(database_urls: dict[str, str], role: str) -> None:
    assert not any(_may(database_urls[role], table, "SELECT") for table in months.partitions())
    assert len(months.partitions()) > months.AHEAD


def test_an_event_is_rolled_back_with_its_change() -> None:
    with transaction.atomic():
        trail.record("tenant.create", "tenant", "gone", tenant_id=7)
        transaction.set_rollback(True)
    assert not Event.objects.filter(tenant_id=7).exists()


def test_a_difference_shows_what_changed_and_never_a_secret() -> None:
    tenant = make_tenant(name="Old")
    before = trail.snapshot(tenant)
    tenant.name = "New"
    assert trail.difference(before, trail.snapshot(tenant)) == {"name": ["Old", "New"]}
    trail.record("site.change", "site", "vega", tenant_id=7, changes={"credential": "x", "token": "y", "name": "z"})
    assert Event.objects.get(tenant_id=7).changes == {"name": "z"}


def test_events_lie_in_the_partition_of_their_month(event: Event) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM audit_event WHERE id = %s", [event.pk])
        assert cursor.fetchone() == (f"audit_event_y{event.at:%Y}m{event.at:%m}",)


@pytest.mark.usefixtures("partitions")
def test_months_are_created_once_and_across_the_end_of_a_year() -> None:
    made = months.create_partitions(now=datetime(2019, 12, 31, 23, tzinfo=UTC))
    assert made[:2] == ["audit_event_y2019m12", "audit_event_y2020m01"]
    assert months.create_partitions(now=datetime(2019, 12, 31, 23, tzinfo=UTC)) == []


@pytest.mark.usefixtures("partitions")
def test_only_expired_months_are_dropped_and_that_is_recorded(settings: Any) -> None:
    months.create_partitions(now=datetime(2019, 12, 1, tzinfo=UTC))
    _insert(datetime(2019, 12, 5, tzinfo=UTC))
    _insert(datetime(2020, 1, 5, tzinfo=UTC))
    settings.KEEP_AUDIT = (timezone.now() - datetime(2020, 1, 1, tzinfo=UTC) - timedelta(days=1)).total_seconds()
    call_command("drop_old_audit", verbosity=0)
    kept = Event.objects.filter(verb="old.event").values_list("at", flat=True)
    assert [at.month for at in kept] == [1]
    assert Event.objects.get(verb="audit.drop").changes == {"months": ["audit_event_y2019m12"]}


def test_an_event_after_the_last_month_is_kept_too() -> None:
    far = timezone.now() + timedelta(days=40 * 365)
    _insert(far)
    assert Event.objects.get(verb="old.event").at == far


def _insert(at: datetime) -> None:
    values: dict[str, Any] = {"actor_kind": "system", "verb": "old.event", "object_kind": "x", "outcome": "done"}
    Event.objects.create(at=at, **values)


def _may(url: str, table: str, right: str) -> bool:
    with psycopg.connect(url) as database:
        row = database.execute("SELECT has_table_privilege(%s, %s)", [table, right]).fetchone()
    return bool(row and row[0])
