"""Lets administrators see the rows of all tenants on the admin pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.audit import actors
from controlplane.audit.actors import Actor
from controlplane.tenants.models import Person
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class AdminScope:
    """Middleware: an administrator's request to /admin/ sees all tenants' rows, in one transaction; others see none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        person = request.user
        if not isinstance(person, Person) or not (person.is_active and person.is_superuser):
            return self.get_response(request)
        actors.bind(Actor("person", person.pk, person.get_full_name()))
        with seeing_everything():
            return self.get_response(request)
