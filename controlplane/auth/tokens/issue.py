"""Issues, rotates and revokes tokens of our own.

The caller of a mint function must show the token's text, because only its digest is stored. A token lives at most
TOKEN_LONGEST seconds. The audit trail records that it was made, rotated or revoked.
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

_HINT = 8  # characters: the prefix and four more, enough for owners to tell their tokens apart, useless to others


def longest() -> timedelta:
    """Returns the longest lifetime of a token, which is also the default for nodes' tokens."""
    return timedelta(seconds=settings.TOKEN_LONGEST)


def mint(
    node: VirtualNode,
    *,
    kind: ApiToken.Kind = ApiToken.Kind.NODE,
    label: str = "",
    lifetime: timedelta | None = None,
    secret_id: int | None = None,
) -> tuple[ApiToken, str]:
    """Makes a token (or, by `kind`, a client secret) for a virtual node. Returns its row and its text.

    secret_id: the id of the client secret for which the token endpoint makes it. The text has no newline at its end: a
    kubelet's HTTP library would refuse it in a header. Raises BadRequest for a lifetime over TOKEN_LONGEST.
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
    """Makes a personal token, for one tenant or all (None). Raises BadRequest for a wrong scope or lifetime."""
    row = ApiToken(kind=ApiToken.Kind.PERSONAL, person=person, tenant=tenant, scopes=_scopes(scopes), label=label)
    return _mint(row, lifetime=lifetime)


def mint_service(
    service: ServiceAccount, *, scopes: Iterable[str], label: str = "", lifetime: timedelta
) -> tuple[ApiToken, str]:
    """Makes a token for a service account. Raises BadRequest for a wrong scope or lifetime."""
    row = ApiToken(
        kind=ApiToken.Kind.SERVICE,
        service=service,
        tenant_id=service.tenant_id,
        scopes=_scopes(scopes),
        label=label,
    )
    return _mint(row, lifetime=lifetime)


def rotate(row: ApiToken, *, overlap: timedelta | None = None) -> tuple[ApiToken, str]:
    """Makes a successor of the token `row`, which expires after `overlap` (default: TOKEN_OVERLAP).

    Returns the successor's row and text. If it is called again within the overlap, because the first answer was lost,
    the unused first successor is revoked. Raises BadRequest if the successor is in use (a thief of the old token must
    not get a new one), and for a token that has ended or came from the token endpoint.
    """
    overlap = timedelta(seconds=settings.TOKEN_OVERLAP) if overlap is None else overlap
    now = timezone.now()
    with transaction.atomic():
        old = ApiToken.objects.select_for_update(of=("self",)).get(pk=row.pk)
        if old.automatic:
            raise BadRequest("This token came from the token endpoint: get the next one there.")
        if old.revoked_at is not None or old.expires_at <= now:
            raise BadRequest("This token has ended: make a new one.")
        template = _revoke_unused_successor(old) or old
        new = ApiToken(
            **{name: getattr(old, name) for name in ("kind", "node_id", "person_id", "service_id", "tenant_id")},
            scopes=old.scopes,
            label=old.label,
        )
        # The limit may be lower today than when the first token was made.
        new, text = _mint(new, lifetime=min(template.expires_at - template.created_at, longest()))
        old.replaced_by, old.expires_at = new, min(old.expires_at, now + overlap)
        old.save(update_fields=["replaced_by", "expires_at"])
        trail.record("token.rotate", "token", old.pk, tenant_id=old.tenant_id, changes={"replaced_by": new.pk})
    row.refresh_from_db()
    return new, text


def revoke_token(row: ApiToken) -> bool:
    """Revokes a token now; processes may accept it for up to TOKEN_MEMORY more seconds. False if it was revoked before.

    Revoking a client secret also revokes the node tokens that the token endpoint made for it.
    """
    now = timezone.now()
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=now):
            return False
        children = ApiToken.objects.filter(issued_for=row.pk, revoked_at=None, expires_at__gt=now)
        count = children.update(revoked_at=now)
        changes = {"hint": row.hint, "kind": row.kind, **({"tokens given for it": count} if count else {})}
        trail.record("token.revoke", "token", row.pk, tenant_id=row.tenant_id, changes=changes)
    row.revoked_at = now
    return True


def _revoke_unused_successor(old: ApiToken) -> ApiToken | None:
    successor = old.replaced_by
    if successor is None:
        return None
    if successor.last_used_at is not None:
        raise BadRequest("This token was replaced, and its successor is in use: rotate that one.")
    revoke_token(successor)
    return successor


def _mint(row: ApiToken, *, lifetime: timedelta) -> tuple[ApiToken, str]:
    if not timedelta() < lifetime <= longest():
        raise BadRequest(f"A token's lifetime must be positive and at most {longest().days} days.")
    text = token_format.generate(ApiToken.Kind(row.kind))
    row.digest, row.hint = token_format.digest(text), text[:_HINT]
    row.created_at = timezone.now()
    row.expires_at = row.created_at + lifetime
    with transaction.atomic():
        row.save(force_insert=True)
        owner = {"node": row.node_id, "person": row.person_id, "service": row.service_id}
        changes = {
            "hint": row.hint,
            "kind": str(row.kind),
            "label": row.label,
            "scopes": list(row.scopes),
            "expires_at": row.expires_at.isoformat(),
            **{name: pk for name, pk in owner.items() if pk is not None},
        }
        # The token endpoint's tokens have their own verb, because it makes hundreds a day for each node.
        verb = "token.issue" if row.automatic else "token.create"
        trail.record(verb, "token", row.pk, tenant_id=row.tenant_id, changes=changes)
    return row, text


def _scopes(requested: Iterable[str]) -> list[str]:
    known, scopes = [str(scope) for scope in Scope], sorted(set(requested))
    if not scopes or not set(scopes) <= set(known):
        raise BadRequest(f"Give a token one or more of the scopes {', '.join(known)}.")
    return scopes
