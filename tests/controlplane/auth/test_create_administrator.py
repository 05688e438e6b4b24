"""The emergency administrator: created only by a command, with a password that is shown once."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from controlplane.audit.models import Event
from controlplane.tenants.models import Person

pytestmark = pytest.mark.django_db


def create(name: str) -> str:
    out = StringIO()
    call_command("create_administrator", name, stdout=out)
    return out.getvalue().strip()


def admits(name: str, password: str) -> bool:
    answer = Client().post("/admin/login/?next=/account/", {"username": name, "password": password})
    return answer.status_code == 302 and answer["Location"] == "/account/"


def test_the_printed_password_opens_the_admin_pages() -> None:
    password = create("root")
    assert len(password) >= 24
    assert admits("root", password)
    event = Event.objects.earliest("id")
    assert (event.verb, event.actor_kind, event.changes) == (
        "person.create_administrator", "system", {"name": "root"},
    )  # fmt: skip


def test_a_second_run_resets_the_password_and_enables_the_account() -> None:
    old = create("root")
    Person.objects.update(is_active=False)
    new = create("root")
    assert admits("root", new)
    assert not admits("root", old)
    assert Person.objects.count() == 1
    assert list(Event.objects.filter(actor_kind="system").order_by("id").values_list("verb", flat=True)) == [
        "person.create_administrator", "person.reset_administrator",
    ]  # fmt: skip


def test_every_login_attempt_is_recorded_without_the_typed_values() -> None:
    password = create("root")
    person = Person.objects.get()
    other = Person.objects.create_user("other", password=password)
    for name, typed in [("root", password), ("root", "wrong"), (password, "in the wrong field"), ("other", password)]:
        admits(name, typed)
    found = Event.objects.filter(verb="person.login").order_by("id")
    assert list(found.values_list("outcome", "object_id", "actor_id")) == [
        ("done", str(person.pk), person.pk),
        ("refused", str(person.pk), None),
        ("refused", "", None),
        ("refused", str(other.pk), None),
    ]
    assert not [event for event in found if password in str(vars(event))]


def test_repeated_failures_of_one_address_do_not_fill_the_trail(settings: Any) -> None:
    settings.AUTH_FAILURES = 3
    for _ in range(5):
        admits("nobody", "wrong")
    assert Event.objects.filter(verb="person.login").count() == 3


def test_a_person_of_an_issuer_does_not_become_an_administrator() -> None:
    Person.objects.create(username="abc", issuer="https://idp.example.org", subject="x")
    with pytest.raises(CommandError, match="choose another name"):
        create("abc")
    assert not Person.objects.get().is_superuser


def test_an_invalid_name_is_refused() -> None:
    with pytest.raises(CommandError):
        create("no name")
    assert not Person.objects.exists()
