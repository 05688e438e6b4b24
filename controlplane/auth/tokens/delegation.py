"""What callers may do with tokens: see their own, and make new ones with no more rights than the token they use."""

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
    """Raises Forbidden if a token with these scopes and this tenant would have more rights than the caller's token.

    Called for new and for rotated tokens, because the caller gets the text of both. A node's token has no scopes; it
    counts as one with the scope of the interLink wire.
    """
    own, requested = caller.rights.scopes, set(scopes) or {str(RULES[Action.WIRE].scope)}
    if own is not None and (beyond := sorted(requested - own)):
        raise Forbidden(f"Your token lacks the scope `{beyond[0]}`: it cannot make a token that has it.")
    confined = confined_to(caller)
    if confined is not None and tenant_id != confined:
        raise Forbidden("Your token is limited to one tenant: it can only make tokens for that tenant.")


def confined_to(caller: PersonCaller | ServiceCaller) -> int | None:
    """Returns the id of the tenant that the caller's token is limited to; None without a limit or a token of ours."""
    return ApiToken.objects.filter(pk=caller.token_id or 0).values_list("tenant_id", flat=True).first()


def own_token(caller: PersonCaller | ServiceCaller) -> ApiToken | None:
    """Returns the caller's token and its tenant; None if the caller uses another credential."""
    return ApiToken.objects.select_related("tenant").filter(pk=caller.token_id or 0).first()


def own_tokens(caller: PersonCaller | ServiceCaller) -> Reached[ApiToken]:
    """Returns the caller's personal tokens. A token limited to one tenant sees only tokens limited to that tenant.

    Raises Forbidden for service accounts.
    """
    mine = ApiToken.objects.filter(person_id=_person_id(caller)).select_related("tenant")
    confined = confined_to(caller)
    return mine if confined is None else mine.filter(tenant=confined)


def owner(caller: PersonCaller | ServiceCaller) -> Person:
    """Returns the person who calls and may make personal tokens. Raises Forbidden for service accounts."""
    return Person.objects.get(pk=_person_id(caller))


def own_tenant(caller: PersonCaller | ServiceCaller, slug: str) -> Tenant:
    """Returns a tenant to which the caller may limit a token. Raises Invalid if the caller has no role in it."""
    tenant = Tenant.objects.filter(pk__in=caller.rights.tenants, slug=slug).first()
    if tenant is None:
        raise Invalid({"tenant": f"You have no role in a tenant {slug}."})
    return tenant


def at_most(lifetime: timedelta, caller: PersonCaller | ServiceCaller) -> timedelta:
    """Returns `lifetime`, shortened so that the new token expires no later than the caller's own token.

    A lifetime over TOKEN_LONGEST is not shortened, so that `issue` refuses it for every caller.
    """
    end = ApiToken.objects.filter(pk=caller.token_id or 0).values_list("expires_at", flat=True).first()
    return lifetime if end is None or lifetime > issue.longest() else min(lifetime, end - timezone.now())


def _person_id(caller: PersonCaller | ServiceCaller) -> int:
    if caller.person_id is None:
        raise Forbidden(
            "Service accounts have no personal tokens; see /tenants/<tenant>/service-accounts/<account>/tokens."
        )
    return caller.person_id
