"""Approval requests: a tenant asks, an operator decides. Each kind of request has its own check and its own execution.

A request is decided once, under its row's lock. A grant is carried out in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit import trail
from controlplane.errors import Conflict, Invalid
from controlplane.tenants.models import ApprovalRequest
from sites import allocations
from sites.models import Allocation, Site
from sites.terms import column_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controlplane.tenants.models import Person, Tenant

_State = ApprovalRequest.State


@dataclass(frozen=True)
class Kind:
    """check: raises Invalid or Conflict if this cannot be asked for. execute: carries out what was granted.

    Both take the request and a payload: the requested terms for `check`, the granted terms for `execute`.
    """

    check: Callable[[ApprovalRequest, Mapping[str, Any]], None]
    execute: Callable[[ApprovalRequest, Mapping[str, Any]], None]


def ask(
    kind: str,
    *,
    tenant: Tenant,
    person: Person | None,
    site: Site | None,
    payload: Mapping[str, Any],
    subject: int | None = None,
    justification: str = "",
) -> ApprovalRequest:
    """Store a new request and return it. subject: the id of the row that it is about, if its kind has one.

    Raises Invalid for a wrong kind, subject or payload, and Conflict if the same request is open already.
    """
    if kind not in KINDS:
        raise Invalid({"kind": f"There is no request of this kind: choose one of {', '.join(KINDS)}."})
    request = ApprovalRequest(
        tenant=tenant,
        site=site.slug if site else "",
        kind=kind,
        subject=subject,
        payload=dict(payload),
        justification=justification,
        asked_by=person,
    )
    with transaction.atomic():
        if site is not None:
            # Two equal requests at the same moment: the second waits here, and then finds the first.
            Site.objects.select_for_update(no_key=True).get(pk=site.pk)
        KINDS[kind].check(request, payload)
        same = {name: getattr(request, name) for name in ("tenant_id", "kind", "site", "subject")}
        if ApprovalRequest.objects.filter(**same, state=_State.OPEN).exists():
            raise Conflict("The same request is open already: withdraw it first, or wait for its decision.")
        request.save()
        _record("request.ask", request, {"kind": kind, "subject": subject, "payload": request.payload})
    return request


def decide(
    request: ApprovalRequest,
    *,
    person: Person | None,
    grant: bool,
    reason: str = "",
    payload: Mapping[str, Any] | None = None,
) -> ApprovalRequest:
    """Grant a request, on its own terms or on those in `payload`, or decline it with a reason.

    Raises Invalid for wrong terms or a missing reason, and Conflict if the request is decided already.
    """
    if not grant and not reason.strip():
        raise Invalid({"reason": "Say why the request is declined: the requester will read it."})
    with transaction.atomic():
        row = _open(request)
        if not grant:
            return _close(row, _State.DECLINED, "request.decline", person=person, reason=reason)
        granted = dict(row.payload if payload is None else payload)
        KINDS[row.kind].execute(row, granted)
        row.decision = granted
        state = _State.GRANTED if granted == row.payload else _State.CHANGED
        return _close(row, state, "request.grant", person=person, reason=reason)


def withdraw(request: ApprovalRequest, *, person: Person | None) -> ApprovalRequest:
    """Close a request for its requester. Raises Conflict if it is decided already."""
    with transaction.atomic():
        return _close(_open(request), _State.WITHDRAWN, "request.withdraw", person=person)


def _open(request: ApprovalRequest) -> ApprovalRequest:
    """Lock the request's row and return it. Raises Conflict if it is not open."""
    row = ApprovalRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
    if row.state != _State.OPEN:
        raise Conflict(f"This request was {row.get_state_display()} at {row.decided_at:%Y-%m-%d %H:%M} UTC.")
    return row


def _close(row: ApprovalRequest, state: str, verb: str, *, person: Person | None, reason: str = "") -> ApprovalRequest:
    row.state, row.reason, row.decided_by, row.decided_at = state, reason, person, timezone.now()
    row.save(update_fields=["state", "reason", "decided_by", "decided_at", "decision"])
    _record(verb, row, {"state": state, "reason": reason, "decision": row.decision})
    return row


def _record(verb: str, request: ApprovalRequest, changes: dict[str, Any]) -> None:
    trail.record(verb, "request", request.pk, tenant_id=request.tenant_id, site=request.site, changes=changes)


def _site_of(request: ApprovalRequest) -> Site:
    site = Site.objects.filter(slug=request.site).first()
    if site is None:
        raise Invalid({"site": "Name the site of the allocation."})
    return site


def _check_allocation(request: ApprovalRequest, payload: Mapping[str, Any]) -> None:
    site = _site_of(request)
    if Allocation.objects.filter(tenant_id=request.tenant_id, site=site, enabled=True).exists():
        raise Conflict(f"The tenant already has an allocation at {site.name}: ask for an extension of it.")
    column_values(payload, site)


def _give_allocation(request: ApprovalRequest, payload: Mapping[str, Any]) -> None:
    request.subject = allocations.grant(request.tenant_id, _site_of(request), payload).pk
    request.save(update_fields=["subject"])


def _allocation_to_extend(request: ApprovalRequest) -> Allocation:
    rows = Allocation.objects.select_related("site").filter(tenant_id=request.tenant_id, site__slug=request.site)
    allocation = rows.filter(pk=request.subject or 0).first()
    if allocation is None:
        raise Invalid({"subject": "Name an allocation of this tenant at this site."})
    return allocation


def _check_extension(request: ApprovalRequest, payload: Mapping[str, Any]) -> None:
    if not column_values(payload, _allocation_to_extend(request).site):
        raise Invalid({"payload": "Name at least one term to change."})


def _extend(request: ApprovalRequest, payload: Mapping[str, Any]) -> None:
    allocations.change(_allocation_to_extend(request), payload)


#: `allocation`: the payload holds its terms. `extension`: the payload holds the terms to change, the subject is the
#: allocation.
KINDS: dict[str, Kind] = {
    "allocation": Kind(_check_allocation, _give_allocation),
    "extension": Kind(_check_extension, _extend),
}
