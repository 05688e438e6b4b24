"""What a caller may do with tokens: see its own, and make new ones that are good for no more than the one it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.auth.roles import RULES, Action
from controlplane.auth.tokens import issue
from controlplane.errors import Forbidden, Invalid
from controlplane.tenants.models import ApiToken, Person, Tenant

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from controlplane.auth.callers import PersonCaller, ServiceCaller
    from controlplane.reach import Reached


def check(caller: PersonCaller | ServiceCaller, *, scopes: Collection[str], tenant_id: int | None) -> None:
    """Raises Forbidden where a token of these scopes, confined to this tenant, would go beyond the caller's own.

    Asked for new tokens and for rotated ones, whose text the caller gets as well. A node's token has no scopes, and is
    good for what the wire wants.
    """
    own, wanted = caller.rights.scopes, set(scopes) or {str(RULES[Action.WIRE].scope)}
    if own is not None and (beyond := sorted(wanted - own)):
        raise Forbidden(
            f"The token that you call with lacks the scope `{beyond[0]}`: it cannot make one that is good for more."
        )
    confined = confined_to(caller)
    if confined is not None and tenant_id != confined:
        raise Forbidden("The token that you call with is confined to one tenant: it cannot make one that is not.")


def confined_to(caller: PersonCaller | ServiceCaller) -> int | None:
    """The id of the one tenant that the caller's token is confined to; None for a token of all, and without one."""
    return ApiToken.objects.filter(pk=caller.token_id or 0).values_list("tenant_id", flat=True).first()


def own_token(caller: PersonCaller | ServiceCaller) -> ApiToken | None:
    """The token of ours that the caller shows, with its tenant; None where it shows another credential."""
    return ApiToken.objects.select_related("tenant").filter(pk=caller.token_id or 0).first()


def own_tokens(caller: PersonCaller | ServiceCaller) -> Reached[ApiToken]:
    """The caller's personal tokens; with a token that is confined to a tenant only those that are confined to it too.

    Raises Forbidden for programs.
    """
    mine = ApiToken.objects.filter(person_id=_person_id(caller)).select_related("tenant")
    confined = confined_to(caller)
    return mine if confined is None else mine.filter(tenant=confined)


def owner(caller: PersonCaller | ServiceCaller) -> Person:
    """Whose personal tokens the caller may make: its own. Raises Forbidden for programs."""
    return Person.objects.get(pk=_person_id(caller))


def own_tenant(caller: PersonCaller | ServiceCaller, slug: str) -> Tenant:
    """A tenant that a token of the caller's may be confined to. Raises Invalid where the caller has no role in it."""
    tenant = Tenant.objects.filter(pk__in=caller.rights.tenants, slug=slug).first()
    if tenant is None:
        raise Invalid({"tenant": f"You are not in a tenant {slug}."})
    return tenant


def at_most(lifetime: timedelta, caller: PersonCaller | ServiceCaller) -> timedelta:
    """`lifetime`, or what is left of the token of ours that the caller shows: one of theirs does not outlive it.

    What no token may have stays as it is, and is refused to all alike.
    """
    end = ApiToken.objects.filter(pk=caller.token_id or 0).values_list("expires_at", flat=True).first()
    return lifetime if end is None or lifetime > issue.longest() else min(lifetime, end - timezone.now())


def _person_id(caller: PersonCaller | ServiceCaller) -> int:
    if caller.person_id is None:
        raise Forbidden("Only people have personal tokens: a service account's are under its tenant.")
    return caller.person_id
