"""Giving allocations, changing and revoking them. Everything is audited, and what waits is looked at again.

Rows are locked in one order: the site, then the allocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit import trail
from controlplane.errors import Conflict, Invalid
from sites import terms as wording
from sites.models import Allocation, Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.tenants.models import Tenant


def grant(tenant: Tenant | int, site: Site, terms: Mapping[str, Any]) -> Allocation:
    """A new allocation of this tenant (or tenant id), or its revoked one given again on these terms.

    Raises Invalid with a sentence for each field, and Conflict where it has one there already.
    """
    tenant_id = tenant if isinstance(tenant, int) else tenant.pk
    with transaction.atomic():
        site = _locked(site)
        values = wording.read(terms, site)
        known = Allocation.objects.select_for_update(no_key=True).filter(tenant_id=tenant_id, site=site).first()
        if known is not None:
            if known.enabled:
                raise Conflict(f"This tenant has an allocation at {site.name} already: change that one.")
            return _change(known, site, {"enabled": True, **values}, verb="allocation.grant")
        allocation = Allocation(tenant_id=tenant_id, site=site, next_start_at=timezone.now(), **values)
        wording.require_order(allocation)
        _require_own_account(allocation, site)
        allocation.save(force_insert=True)
        _record("allocation.grant", allocation, site, trail.difference({}, trail.snapshot(allocation)))
    return allocation


def change(allocation: Allocation, terms: Mapping[str, Any]) -> Allocation:
    """The same on other terms; those that are not named stay. Lower limits end nothing: what is over them holds.

    Raises Invalid with a sentence for each field.
    """
    with transaction.atomic():
        site = _locked(allocation.site)
        return _change(allocation, site, wording.read(terms, site), verb="allocation.change")


def revoke(allocation: Allocation) -> Allocation:
    """Nothing new starts under it; what runs may finish."""
    with transaction.atomic():
        return _change(allocation, _locked(allocation.site), {"enabled": False}, verb="allocation.revoke")


def _change(allocation: Allocation, site: Site, values: dict[str, Any], *, verb: str) -> Allocation:
    row = Allocation.objects.select_for_update(no_key=True).get(pk=allocation.pk)
    before = trail.snapshot(row)
    for name, value in values.items():
        setattr(row, name, value)
    wording.require_order(row)
    _require_own_account(row, site)
    row.save(update_fields=list(values))
    Allocation.objects.filter(pk=row.pk).wake(now=timezone.now())
    _record(verb, row, site, trail.difference(before, trail.snapshot(row)))
    return row


def _locked(site: Site) -> Site:
    """No other allocation of this site is given or changed until the transaction ends."""
    return Site.objects.select_for_update(no_key=True).get(pk=site.pk)


def _require_own_account(allocation: Allocation, site: Site) -> None:
    """Two tenants in one account could read each other's files, whatever is left of them there."""
    if site.shared_account:
        return
    others: Iterable[Allocation] = Allocation.objects.filter(site=site, local_account=allocation.local_account)
    if any(other.tenant_id != allocation.tenant_id for other in others):
        account = f"account {allocation.local_account}" if allocation.local_account else "site's own account"
        sentence = (
            f"Another tenant has the {account} at {site.name}: name one of this tenant's own, or let the site's "
            "operator say that tenants may share accounts there."
        )
        raise Invalid({"local_account": sentence})


def _record(verb: str, allocation: Allocation, site: Site, changes: dict[str, list[Any]]) -> None:
    trail.record(verb, "allocation", allocation.pk, tenant_id=allocation.tenant_id, site=site.slug, changes=changes)
