"""What a caller may put into a token that it has made: no more than its own token is good for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.auth.roles import RULES, Action
from controlplane.auth.tokens import issue
from controlplane.errors import Forbidden
from controlplane.tenants.models import ApiToken

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from controlplane.auth.callers import PersonCaller, ServiceCaller


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


def at_most(lifetime: timedelta, caller: PersonCaller) -> timedelta:
    """`lifetime`, or what is left of the token of ours that the caller shows: one of theirs does not outlive it.

    What no token may have stays as it is, and is refused to all alike.
    """
    end = ApiToken.objects.filter(pk=caller.token_id or 0).values_list("expires_at", flat=True).first()
    return lifetime if end is None or lifetime > issue.longest() else min(lifetime, end - timezone.now())
