"""Who may do what: the one table. docs/roles.md is drawn from it, and a test walks every URL with every role.

An action is what a view asks leave for. A role reaches so far: everything, one site, or one tenant. What lies outside
of a caller's reach does not exist for it (404); an action that none of its roles allows is refused (403).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller can be. The last two are programs."""

    FEDERATION_OPERATOR = "federation_operator"
    FEDERATION_AUDITOR = "federation_auditor"
    SITE_OPERATOR = "site_operator"
    TENANT_MANAGER = "manager"
    TENANT_MEMBER = "member"
    VIRTUAL_NODE = "virtual_node"


class Scope(StrEnum):
    """What a token may be used for; its owner's rights bound it as well."""

    READ = "read"
    SUBMIT = "submit"
    CANCEL = "cancel"
    MANAGE = "manage"


MEANING: dict[Role, str] = {
    Role.FEDERATION_OPERATOR: "runs the federation: all sites, all tenants",
    Role.FEDERATION_AUDITOR: "reads all of it and changes nothing",
    Role.SITE_OPERATOR: "runs one site: who may use how much of it, and what runs there",
    Role.TENANT_MANAGER: "manages one tenant: its members, virtual nodes, service accounts, and what it asks for",
    Role.TENANT_MEMBER: "submits pods in one tenant, and sees those of the tenant",
    Role.VIRTUAL_NODE: "speaks the interLink wire for one tenant, and nothing else",
}

_OPERATOR, _AUDITOR, _SITE = Role.FEDERATION_OPERATOR, Role.FEDERATION_AUDITOR, Role.SITE_OPERATOR
_MANAGER, _MEMBER, _NODE = Role.TENANT_MANAGER, Role.TENANT_MEMBER, Role.VIRTUAL_NODE
_PEOPLE = frozenset({_OPERATOR, _AUDITOR, _SITE, _MANAGER, _MEMBER})


@dataclass(frozen=True)
class Permission:
    """Which roles allow an action, and the scope that a token must have for it."""

    meaning: str
    scope: Scope
    roles: frozenset[Role]


class Action(StrEnum):
    """What can be asked leave for."""

    TOKENS_OWN = "tokens.own"
    TENANTS_READ = "tenants.read"
    TENANTS_CHANGE = "tenants.change"
    MEMBERS_READ = "members.read"
    MEMBERS_CHANGE = "members.change"
    NODES_READ = "nodes.read"
    NODES_CHANGE = "nodes.change"
    SERVICES_READ = "services.read"
    SERVICES_CHANGE = "services.change"
    SITES_READ = "sites.read"
    ALLOCATIONS_READ = "allocations.read"
    ALLOCATIONS_CHANGE = "allocations.change"
    REQUESTS_READ = "requests.read"
    REQUESTS_ASK = "requests.ask"
    REQUESTS_DECIDE = "requests.decide"
    JOBS_READ = "jobs.read"
    JOBS_SUBMIT = "jobs.submit"
    JOBS_CANCEL = "jobs.cancel"
    USAGE_READ = "usage.read"
    AUDIT_READ = "audit.read"
    ROLES_READ = "roles.read"
    ROLES_CHANGE = "roles.change"
    CLAIMS_TRY = "claims.try"
    WIRE = "interlink.wire"


def _rule(meaning: str, scope: Scope, *roles: Role) -> Permission:
    return Permission(meaning, scope, frozenset(roles) or _PEOPLE)


RULES: dict[Action, Permission] = {
    Action.TOKENS_OWN: _rule("list, make, rotate and revoke one's own personal tokens", Scope.MANAGE),
    Action.TENANTS_READ: _rule("see tenants", Scope.READ),
    Action.TENANTS_CHANGE: _rule("create, rename, disable tenants", Scope.MANAGE, _OPERATOR),
    Action.MEMBERS_READ: _rule("see who is in a tenant", Scope.READ, _OPERATOR, _AUDITOR, _MANAGER),
    Action.MEMBERS_CHANGE: _rule("add and remove manual memberships", Scope.MANAGE, _OPERATOR, _MANAGER),
    Action.NODES_READ: _rule("see virtual nodes", Scope.READ, _OPERATOR, _AUDITOR, _MANAGER, _MEMBER),
    Action.NODES_CHANGE: _rule("create and change virtual nodes, and their tokens", Scope.MANAGE, _OPERATOR, _MANAGER),
    Action.SERVICES_READ: _rule("see service accounts", Scope.READ, _OPERATOR, _AUDITOR, _MANAGER),
    Action.SERVICES_CHANGE: _rule(
        "create and change service accounts, and their tokens", Scope.MANAGE, _OPERATOR, _MANAGER
    ),
    Action.SITES_READ: _rule("see sites, their partitions and flavors", Scope.READ),
    Action.ALLOCATIONS_READ: _rule("see allocations and what is used of them", Scope.READ),
    Action.ALLOCATIONS_CHANGE: _rule("give, change and revoke allocations", Scope.MANAGE, _OPERATOR, _SITE),
    Action.REQUESTS_READ: _rule("see requests", Scope.READ, _OPERATOR, _AUDITOR, _SITE, _MANAGER),
    Action.REQUESTS_ASK: _rule("ask for something, and take it back", Scope.MANAGE, _MANAGER),
    Action.REQUESTS_DECIDE: _rule("grant, change or decline a request", Scope.MANAGE, _OPERATOR, _SITE),
    Action.JOBS_READ: _rule("see jobs, their history and their logs", Scope.READ),
    Action.JOBS_SUBMIT: _rule("submit a pod, or have it explained", Scope.SUBMIT, _MANAGER, _MEMBER),
    Action.JOBS_CANCEL: _rule(
        "cancel jobs (a member: those of his own)", Scope.CANCEL, _OPERATOR, _SITE, _MANAGER, _MEMBER
    ),
    Action.USAGE_READ: _rule("see what was used", Scope.READ),
    Action.AUDIT_READ: _rule("read the audit trail", Scope.READ, _OPERATOR, _AUDITOR, _SITE, _MANAGER),
    Action.ROLES_READ: _rule("see who operates and audits what", Scope.READ, _OPERATOR, _AUDITOR),
    Action.ROLES_CHANGE: _rule("give and take roles by hand", Scope.MANAGE, _OPERATOR),
    Action.CLAIMS_TRY: _rule("see which memberships some claims would give", Scope.READ, _OPERATOR, _AUDITOR),
    Action.WIRE: _rule("create, poll and delete pods by the interLink wire", Scope.SUBMIT, _NODE),
}


def document() -> str:
    """The page docs/roles.md, whole."""
    titles = {role: role.replace("_", " ") for role in Role}
    meanings = "\n".join(f"| {titles[role].capitalize()} | {MEANING[role]} |" for role in Role)
    head = "| action | what | scope | " + " | ".join(titles.values()) + " |\n" + "|---" * (3 + len(Role)) + "|"
    rows = "\n".join(
        f"| `{action}` | {rule.meaning} | `{rule.scope}` | "
        + " | ".join("yes" if role in rule.roles else "" for role in Role)
        + " |"
        for action, rule in RULES.items()
    )
    return _PAGE.format(meanings=meanings, head=head, rows=rows)


_PAGE = """# Roles: who may do what

Drawn by `manage.py draw_roles` from the table in `controlplane/auth/roles.py`; a test keeps the two the same, and
another walks every URL of the API with every role.

| role | who that is |
|---|---|
{meanings}

A service account has the role of a manager or a member in its one tenant. A person may have several roles; what they
allow adds up. A token is bounded twice: by its scopes, and by what its owner may do at that moment.

Every caller that is known may ask `/api/v1/me` who it is here. What lies outside of a caller's reach (another tenant's
job, another site's allocation) does not exist for it: 404. An action that none of its roles allows is refused: 403.
Behind the views stands PostgreSQL's row security: each transaction of the web service sees only the rows within the
caller's reach for the action asked for.

{head}
{rows}
"""
