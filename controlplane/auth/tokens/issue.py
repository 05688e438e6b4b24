"""Issues, rotates and revokes tokens of our own.

A token is shown once, by whoever mints it. It expires at most TOKEN_LONGEST after its making. The audit trail tells
that it was made, rotated and revoked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from controlplane.audit import trail
from controlplane.auth import token_format
from controlplane.auth.roles import Scope
from controlplane.errors import BadRequest
from controlplane.tenants.models import ApiToken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.tenants.models import Person, ServiceAccount, Tenant, VirtualNode

_HINT = 8  # the prefix and four characters: enough to tell one's tokens apart, of no use to anybody else


def longest() -> timedelta:
    """How long a token may live, and does where nobody says."""
    return timedelta(seconds=settings.TOKEN_LONGEST)


def mint(
    node: VirtualNode,
    *,
    kind: ApiToken.Kind = ApiToken.Kind.NODE,
    label: str = "",
    lifetime: timedelta | None = None,
    secret_id: int | None = None,
) -> tuple[ApiToken, str]:
    """A new token of a virtual node, or its client secret: the row, and the text, which cannot be had again.

    secret_id: the client secret that the token endpoint makes it for. The text ends with no newline: a kubelet's HTTP
    library refuses the header otherwise. Raises BadRequest for a lifetime beyond TOKEN_LONGEST.
    """
    row = ApiToken(
        kind=kind,
        node=node,
        tenant_id=node.tenant_id,
        label=label,
        automatic=secret_id is not None,
        issued_for_id=secret_id,
    )
    return _mint(row, lifetime=longest() if lifetime is None else lifetime)


def mint_personal(
    person: Person, *, scopes: Iterable[str], tenant: Tenant | None = None, label: str = "", lifetime: timedelta
) -> tuple[ApiToken, str]:
    """A new token of a person, confined to one tenant perhaps. Raises BadRequest for a wrong scope or lifetime."""
    row = ApiToken(kind=ApiToken.Kind.PERSONAL, person=person, tenant=tenant, scopes=_scopes(scopes), label=label)
    return _mint(row, lifetime=lifetime)


def mint_service(
    service: ServiceAccount, *, scopes: Iterable[str], label: str = "", lifetime: timedelta
) -> tuple[ApiToken, str]:
    """A new token of a service account. Raises BadRequest for a wrong scope or lifetime."""
    row = ApiToken(
        kind=ApiToken.Kind.SERVICE,
        service=service,
        tenant_id=service.tenant_id,
        scopes=_scopes(scopes),
        label=label,
    )
    return _mint(row, lifetime=lifetime)


def rotate(row: ApiToken, *, overlap: timedelta | None = None) -> tuple[ApiToken, str]:
    """A new token like `row`, which ends after `overlap` (TOKEN_OVERLAP): the new row, and its text.

    Again within the overlap, because the answer was lost: the first successor, which nobody has, is revoked. Once the
    successor was used there is no other one, so that whoever finds the old token gains nothing. Raises BadRequest for
    that, and for a token that has ended or came from the token endpoint.
    """
    overlap = timedelta(seconds=settings.TOKEN_OVERLAP) if overlap is None else overlap
    now = timezone.now()
    with transaction.atomic():
        old = ApiToken.objects.select_for_update(of=("self",)).get(pk=row.pk)
        if old.automatic:
            raise BadRequest("This token came from the token endpoint: ask there for the next one.")
        if old.revoked_at is not None or old.expires_at <= now:
            raise BadRequest("This token has ended: make a new one.")
        lost = _lost_successor(old)
        model = lost or old
        new = ApiToken(
            **{name: getattr(old, name) for name in ("kind", "node_id", "person_id", "service_id", "tenant_id")},
            scopes=old.scopes,
            label=old.label,
        )
        # Never longer than allowed today, which may be less than when the first one was made.
        new, text = _mint(new, lifetime=min(model.expires_at - model.created_at, longest()))
        old.replaced_by, old.expires_at = new, min(old.expires_at, now + overlap)
        old.save(update_fields=["replaced_by", "expires_at"])
        trail.record("token.rotate", "token", old.pk, tenant_id=old.tenant_id, changes={"replaced_by": new.pk})
    row.refresh_from_db()
    return new, text


def revoke_token(row: ApiToken) -> bool:
    """End a token now; processes that remember it forget it within TOKEN_MEMORY. False where it was revoked before.

    With a client secret go the node tokens that the token endpoint gave for it.
    """
    now = timezone.now()
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=now):
            return False
        given = ApiToken.objects.filter(issued_for=row.pk, revoked_at=None, expires_at__gt=now).update(revoked_at=now)
        changes = {"hint": row.hint, "kind": row.kind, **({"tokens given for it": given} if given else {})}
        trail.record("token.revoke", "token", row.pk, tenant_id=row.tenant_id, changes=changes)
    row.revoked_at = now
    return True


def _lost_successor(old: ApiToken) -> ApiToken | None:
    successor = old.replaced_by
    if successor is None:
        return None
    if successor.last_used_at is not None:
        raise BadRequest("This token was replaced, and its successor is in use: rotate that one.")
    revoke_token(successor)
    return successor


def _mint(row: ApiToken, *, lifetime: timedelta) -> tuple[ApiToken, str]:
    if not timedelta() < lifetime <= longest():
        raise BadRequest(f"A token lives for more than nothing and at most {longest().days} days: say for how long.")
    text = token_format.generate(ApiToken.Kind(row.kind))
    row.digest, row.hint = token_format.digest(text), text[:_HINT]
    row.created_at = timezone.now()
    row.expires_at = row.created_at + lifetime
    with transaction.atomic():
        row.save(force_insert=True)
        # Those of the token endpoint have a verb of their own: there are hundreds a day of each node.
        verb = "token.issue" if row.automatic else "token.create"
        trail.record(verb, "token", row.pk, tenant_id=row.tenant_id, changes=_told_of(row))
    return row, text


def _told_of(row: ApiToken) -> dict[str, object]:
    """What the trail says of a new token."""
    owner = {"node": row.node_id, "person": row.person_id, "service": row.service_id}
    return {
        "hint": row.hint,
        "kind": str(row.kind),
        "label": row.label,
        "scopes": list(row.scopes),
        "expires_at": row.expires_at.isoformat(),
        **{name: pk for name, pk in owner.items() if pk is not None},
    }


def _scopes(asked: Iterable[str]) -> list[str]:
    known, found = [str(scope) for scope in Scope], sorted(set(asked))
    if not found or not set(found) <= set(known):
        raise BadRequest(f"Give a token one or more of the scopes {', '.join(known)}.")
    return found
