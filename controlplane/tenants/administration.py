"""Creates and changes tenants and their objects, and records each change in the same transaction."""

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
    """Creates a tenant, without allocations. Raises Conflict if the slug is taken."""
    with unless_there(f"There is a tenant {slug} already: choose another slug."):
        tenant = Tenant.objects.create(slug=slug, name=name)
    created("tenant", tenant, tenant_id=tenant.pk)
    return tenant


def create_service(tenant: Tenant, *, slug: str, name: str, role: str) -> ServiceAccount:
    """Creates a service account. role: `member` or `manager`. Raises Conflict if the tenant has one with this slug."""
    with unless_there(f"This tenant has a service account {slug} already: choose another slug."):
        service = ServiceAccount.objects.create(tenant=tenant, slug=slug, name=name, role=role)
    created("service", service, tenant_id=tenant.pk)
    return service


def created(kind: str, row: Model, *, tenant_id: int | None, changes: Mapping[str, Any] | None = None) -> None:
    """Records that a row is new, with all its values and the additional `changes` ({name: value})."""
    fields = {**trail.snapshot(row), **(changes or {})}
    trail.record(f"{kind}.create", kind, row.pk, tenant_id=tenant_id, changes=trail.difference({}, fields))


def change_row(kind: str, row: Row, values: Mapping[str, Any], *, tenant_id: int | None) -> Row:
    """Sets `values` ({column: value}) of a row and returns the new row. Writes and records only if a value differs."""
    with transaction.atomic():
        rows = type(row)._default_manager  # noqa: SLF001  (Django's own name for it)
        locked: Row = rows.select_for_update(of=("self",)).get(pk=row.pk)
        before = trail.snapshot(locked)
        for name, value in values.items():
            setattr(locked, name, value)
        changes = trail.difference(before, trail.snapshot(locked))
        if changes:
            locked.save(update_fields=list(values))
            trail.record(f"{kind}.change", kind, locked.pk, tenant_id=tenant_id, changes=changes)
    return locked


@contextmanager
def unless_there(sentence: str) -> Iterator[None]:
    """Raises Conflict with `sentence` if the block inserts a row that violates a unique constraint.

    The block runs in a savepoint, so the outer transaction can continue.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
            raise
        raise Conflict(sentence) from error
