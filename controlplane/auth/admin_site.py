"""The admin site: its pages show the rows of all tenants, to administrators only."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib.admin import AdminSite
from django.template.response import SimpleTemplateResponse

from controlplane.audit import actors
from controlplane.audit.actors import Actor
from controlplane.tenants.models import Person
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

_View = TypeVar("_View", bound="Callable[..., HttpResponseBase]")


class ScopedAdminSite(AdminSite):
    """Runs each page for an administrator in one transaction that sees all tenants' rows; for others it sees none."""

    def admin_view(self, view: _View, cacheable: bool = False) -> _View:  # noqa: FBT001, FBT002  (Django's signature)
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def scoped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            person = request.user
            if not isinstance(person, Person) or not (person.is_active and person.is_superuser):
                return inner(request, *args, **kwargs)
            actors.bind(Actor("person", person.pk, person.get_full_name()))
            with seeing_everything():
                response = inner(request, *args, **kwargs)
                # Django renders after the view, which is too late: a template reads rows as well.
                return response.render() if isinstance(response, SimpleTemplateResponse) else response

        return cast("_View", scoped)
