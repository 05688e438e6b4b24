"""The rights of one caller: its roles, its token's scopes, and the rows that each action may touch."""

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
    """One role of a caller: in a tenant (its id), at a site (its slug), or, with neither, in the federation."""

    role: Role
    tenant_id: int | None = None
    site: str = ""


@dataclass(frozen=True)
class Rights:
    """The roles of a caller, and the scopes of its token. scopes: None if there is no limit, as for a session."""

    held: tuple[Held, ...] = ()
    scopes: frozenset[str] | None = None

    def reach(self, action: Action) -> Reach:
        """Returns the rows that the caller may touch with `action`. Raises Forbidden, with the reason, if none."""
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
        """The caller's roles at sites and in the federation."""
        return tuple(each for each in self.held if each.tenant_id is None)

    def roles_in(self, tenant_id: int) -> frozenset[Role]:
        """Returns the caller's roles in one tenant."""
        return frozenset(each.role for each in self.held if each.tenant_id == tenant_id)

    def bounded(self, *, scopes: Iterable[str] | None, tenant_id: int | None = None) -> Rights:
        """Returns these rights, limited to the `scopes` of a token (None: all) and to its tenant (None: all)."""
        held = self.held if tenant_id is None else tuple(each for each in self.held if each.tenant_id == tenant_id)
        return Rights(held, None if scopes is None else frozenset(scopes))


def rights_of(person: Person, *, now: datetime) -> Rights:
    """Returns the person's roles in force: in enabled tenants, at sites, in the federation. A disabled person has none.

    An administrator also has the role of a federation operator.
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
