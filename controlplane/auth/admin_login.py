"""The password login of administrators at /admin/. It records every login and every refused login."""

from __future__ import annotations

from dataclasses import replace

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from controlplane.audit import actors, trail
from controlplane.audit.models import Event
from controlplane.auth import failures
from controlplane.tenants.models import Person
from controlplane.tenants.scope import seeing


class RecordedLogin(AdminAuthenticationForm):
    """Django's login form, with the audit trail. Never records the typed name: it may be a password by mistake."""

    def confirm_login_allowed(self, user: Person) -> None:
        try:
            super().confirm_login_allowed(user)
        except ValidationError:
            _record_refusal(user.pk)
            raise
        actors.bind(replace(actors.current(), kind="person", id=user.pk, name=user.get_full_name()))
        _record(user.pk, Event.Outcome.DONE)

    def get_invalid_login_error(self) -> ValidationError:
        known = Person.objects.filter(username=self.cleaned_data.get("username", "")).first()
        _record_refusal(known.pk if known else "")
        return super().get_invalid_login_error()


def _record_refusal(person: object) -> None:
    if not failures.another("login", actors.current().address):
        _record(person, Event.Outcome.REFUSED)


def _record(person: object, outcome: Event.Outcome) -> None:
    with seeing():
        trail.record("person.login", "person", person, changes={"issuer": "local"}, outcome=outcome)
