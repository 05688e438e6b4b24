"""What one caller may do, and how far that reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.auth.roles import RULES, Action, Role
from controlplane.errors import Forbidden
from controlplane.reach import Reach
from controlplane.tenants.models import Membership, RoleGrant
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from controlplane.tenants.models import Person


@dataclass(frozen=True)
class Held:
    """One role of a caller: of a tenant (its id), of a site (its slug), or of the federation."""

    role: Role
    tenant_id: int | None = None
    site: str = ""


@dataclass(frozen=True)
class Rights:
    """The roles of a caller, and the scopes of the token that it shows; None where nothing bounds them (a session)."""

    held: tuple[Held, ...] = ()
    scopes: frozenset[str] | None = None

    def reach(self, action: Action) -> Reach:
        """How far the caller may go. Raises Forbidden where not at all, with the reason."""
        rule = RULES[action]
        if self.scopes is not None and rule.scope not in self.scopes:
            raise Forbidden(f"This token lacks the scope `{rule.scope}`, which is needed to {rule.meaning}.")
        allowing = [each for each in self.held if each.role in rule.roles]
        if not allowing:
            raise Forbidden(f"None of your roles here allows you to {rule.meaning}.")
        return Reach(
            everything=any(each.tenant_id is None and not each.site for each in allowing),
            tenants=frozenset(each.tenant_id for each in allowing if each.tenant_id is not None),
            sites=frozenset(each.site for each in allowing if each.site),
        )

    @property
    def tenants(self) -> frozenset[int]:
        """The ids of the tenants in which the caller has a role."""
        return frozenset(each.tenant_id for each in self.held if each.tenant_id is not None)

    @property
    def beyond_tenants(self) -> tuple[Held, ...]:
        """The caller's roles of sites and of the federation."""
        return tuple(each for each in self.held if each.tenant_id is None)

    def roles_in(self, tenant_id: int) -> frozenset[Role]:
        """The caller's own roles in one tenant."""
        return frozenset(each.role for each in self.held if each.tenant_id == tenant_id)

    def bounded(self, *, scopes: Iterable[str] | None, tenant_id: int | None = None) -> Rights:
        """These rights as a token with `scopes`, confined to one tenant perhaps, passes them on."""
        held = self.held if tenant_id is None else tuple(each for each in self.held if each.tenant_id == tenant_id)
        return Rights(held, None if scopes is None else frozenset(scopes))


def rights_of(person: Person, *, now: datetime) -> Rights:
    """The roles that count now: of enabled tenants, of sites, of the federation. None for a disabled person.

    An administrator may do what a federation operator may.
    """
    if not person.is_active:
        return Rights()
    with seeing_everything():
        memberships = Membership.objects.in_force(now=now).filter(person=person, tenant__enabled=True)
        held = {Held(Role(role), tenant_id=tenant) for role, tenant in memberships.values_list("role", "tenant_id")}
        grants = RoleGrant.objects.in_force(now=now).filter(person=person)
        held |= {Held(Role(role), site=site) for role, site in grants.values_list("role", "site")}
    if person.is_superuser:
        held.add(Held(Role.FEDERATION_OPERATOR))
    return Rights(tuple(sorted(held, key=lambda each: (each.role, each.tenant_id or 0, each.site))))
