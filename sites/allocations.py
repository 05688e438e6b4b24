"""Grants, changes and revokes allocations. Each change is audited and wakes the jobs that wait for the allocation.

Every function locks the site's row first, then the allocation's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit import trail
from controlplane.errors import Conflict, Invalid
from sites.models import Allocation, Site
from sites.terms import column_values, require_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.tenants.models import Tenant


def grant(tenant: Tenant | int, site: Site, terms: Mapping[str, Any]) -> Allocation:
    """Give a tenant (or tenant id) an allocation at a site. A revoked allocation is enabled again, on these terms.

    Raises Invalid, with a sentence for each wrong field, and Conflict if the tenant has an enabled allocation there.
    """
    tenant_id = tenant if isinstance(tenant, int) else tenant.pk
    with transaction.atomic():
        site = _locked(site)
        values = column_values(terms, site)
        known = Allocation.objects.select_for_update(no_key=True).filter(tenant_id=tenant_id, site=site).first()
        if known is not None:
            if known.enabled:
                raise Conflict(f"This tenant already has an allocation at {site.name}: change that one.")
            return _change(known, site, {"enabled": True, **values}, verb="allocation.grant")
        allocation = Allocation(tenant_id=tenant_id, site=site, next_start_at=timezone.now(), **values)
        require_order(allocation)
        _require_own_account(allocation, site)
        allocation.save(force_insert=True)
        _record("allocation.grant", allocation, site, trail.difference({}, trail.snapshot(allocation)))
    return allocation


def change(allocation: Allocation, terms: Mapping[str, Any]) -> Allocation:
    """Set these terms and keep the others. A lower limit ends no job: it only holds back new jobs.

    Raises Invalid, with a sentence for each wrong field.
    """
    with transaction.atomic():
        site = _locked(allocation.site)
        return _change(allocation, site, column_values(terms, site), verb="allocation.change")


def revoke(allocation: Allocation) -> Allocation:
    """Disable the allocation: new jobs wait, running jobs continue."""
    with transaction.atomic():
        return _change(allocation, _locked(allocation.site), {"enabled": False}, verb="allocation.revoke")


def _change(allocation: Allocation, site: Site, values: dict[str, Any], *, verb: str) -> Allocation:
    row = Allocation.objects.select_for_update(no_key=True).get(pk=allocation.pk)
    before = trail.snapshot(row)
    for name, value in values.items():
        setattr(row, name, value)
    require_order(row)
    _require_own_account(row, site)
    row.save(update_fields=list(values))
    Allocation.objects.filter(pk=row.pk).wake(now=timezone.now())
    _record(verb, row, site, trail.difference(before, trail.snapshot(row)))
    return row


def _locked(site: Site) -> Site:
    """Lock the site's row: until the transaction ends, nobody else grants or changes an allocation there."""
    return Site.objects.select_for_update(no_key=True).get(pk=site.pk)


def _require_own_account(allocation: Allocation, site: Site) -> None:
    """Raises Invalid if another tenant uses the same account at the site: it could read this tenant's files."""
    if site.shared_account:
        return
    others: Iterable[Allocation] = Allocation.objects.filter(site=site, local_account=allocation.local_account)
    if any(other.tenant_id != allocation.tenant_id for other in others):
        account = f"account {allocation.local_account}" if allocation.local_account else "site's own account"
        message = (
            f"Another tenant uses the {account} at {site.name}: name an account of this tenant's own, or ask the "
            "site's operator to let tenants share accounts there."
        )
        raise Invalid({"local_account": message})


def _record(verb: str, allocation: Allocation, site: Site, changes: dict[str, list[Any]]) -> None:
    trail.record(verb, "allocation", allocation.pk, tenant_id=allocation.tenant_id, site=site.slug, changes=changes)
