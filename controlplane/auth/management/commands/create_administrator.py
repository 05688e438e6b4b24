"""`manage.py create_administrator NAME`: makes an administrator who logs in without an issuer, or resets the password.

The command generates the password and shows it once. An existing administrator gets a new password and is enabled.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from controlplane.audit import trail
from controlplane.tenants.models import Person

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Makes a local administrator, or gives an existing one a new password. Shows the password once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="to log in with at /admin/")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        password = secrets.token_urlsafe(18)
        with transaction.atomic():
            person = Person.objects.select_for_update().filter(username=name).first()
            act = "create_administrator" if person is None else "reset_administrator"
            person = person or Person(username=name, name=name)
            if person.issuer:
                raise CommandError(f"{name} logs in with an issuer: choose another name for the administrator.")
            _promote(person, password)
            trail.record(f"person.{act}", "person", person.pk, changes={"name": name})
        self.stdout.write(password)


def _promote(person: Person, password: str) -> None:
    person.is_staff = person.is_superuser = person.is_active = True
    person.set_password(password)
    try:
        person.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    person.save()
