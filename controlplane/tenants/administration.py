"""Creating and changing tenants and what belongs to them. Each is recorded, in the transaction that does it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from django.db import IntegrityError, transaction

from controlplane.audit import trail
from controlplane.errors import Conflict
from controlplane.tenants.models import ServiceAccount, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.db.models import Model

    Row = TypeVar("Row", bound=Model)


def create_tenant(*, slug: str, name: str) -> Tenant:
    """A new tenant, without any allocation. Raises Conflict where the slug is taken."""
    with unless_there(f"There is a tenant {slug} already: choose another slug."):
        tenant = Tenant.objects.create(slug=slug, name=name)
    created("tenant", tenant, tenant_id=tenant.pk)
    return tenant


def create_service(tenant: Tenant, *, slug: str, name: str, role: str) -> ServiceAccount:
    """A new service account. Raises Conflict where the tenant has one of this slug."""
    with unless_there(f"This tenant has a service account {slug} already: choose another slug."):
        service = ServiceAccount.objects.create(tenant=tenant, slug=slug, name=name, role=role)
    created("service", service, tenant_id=tenant.pk)
    return service


def created(kind: str, row: Model, *, tenant_id: int | None, changes: Mapping[str, Any] | None = None) -> None:
    """Record that a row is new, with all that it holds, and `changes` beside."""
    fields = {**trail.snapshot(row), **(changes or {})}
    trail.record(f"{kind}.create", kind, row.pk, tenant_id=tenant_id, changes=trail.difference({}, fields))


def change_row(kind: str, row: Row, values: Mapping[str, Any], *, tenant_id: int | None) -> Row:
    """Set `values` of a row; the row as it is then. What does not differ is neither written nor recorded."""
    with transaction.atomic():
        rows = type(row)._default_manager  # noqa: SLF001  (Django's own name for it)
        now: Row = rows.select_for_update(of=("self",)).get(pk=row.pk)
        before = trail.snapshot(now)
        for name, value in values.items():
            setattr(now, name, value)
        changes = trail.difference(before, trail.snapshot(now))
        if changes:
            now.save(update_fields=list(values))
            trail.record(f"{kind}.change", kind, now.pk, tenant_id=tenant_id, changes=changes)
    return now


@contextmanager
def unless_there(sentence: str) -> Iterator[None]:
    """A row that another one of the same name stands against is a Conflict; the transaction around goes on."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
            raise
        raise Conflict(sentence) from error
