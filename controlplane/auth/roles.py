"""The table of which role may do what. docs/roles.md is drawn from it, and a test calls every URL with every role.

Each method of a view has an action. A role reaches everything, one site, or one tenant. An object outside of the
caller's reach does not exist for the caller (404). An action that none of the caller's roles allows is refused (403).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The roles that callers can have. Virtual nodes are programs; service accounts have a tenant's roles."""

    FEDERATION_OPERATOR = "federation_operator"
    FEDERATION_AUDITOR = "federation_auditor"
    SITE_OPERATOR = "site_operator"
    TENANT_MANAGER = "manager"
    TENANT_MEMBER = "member"
    VIRTUAL_NODE = "virtual_node"


class Scope(StrEnum):
    """What a token may be used for, within its owner's rights."""

    READ = "read"
    SUBMIT = "submit"
    CANCEL = "cancel"
    MANAGE = "manage"


MEANING: dict[Role, str] = {
    Role.FEDERATION_OPERATOR: "runs the federation: all sites, all tenants",
    Role.FEDERATION_AUDITOR: "reads everything and changes nothing",
    Role.SITE_OPERATOR: "runs one site: who may use how much of it, and its jobs",
    Role.TENANT_MANAGER: "manages one tenant: its members, virtual nodes, service accounts and requests",
    Role.TENANT_MEMBER: "submits pods in one tenant, and sees the tenant's pods",
    Role.VIRTUAL_NODE: "uses the interLink wire for one tenant, and nothing else",
}

_OPERATOR, _AUDITOR, _SITE = Role.FEDERATION_OPERATOR, Role.FEDERATION_AUDITOR, Role.SITE_OPERATOR
_MANAGER, _MEMBER, _NODE = Role.TENANT_MANAGER, Role.TENANT_MEMBER, Role.VIRTUAL_NODE
_PEOPLE = frozenset({_OPERATOR, _AUDITOR, _SITE, _MANAGER, _MEMBER})


@dataclass(frozen=True)
class Permission:
    """The roles that allow an action, and the scope that a token needs for it. meaning: completes "may ..."."""

    meaning: str
    scope: Scope
    roles: frozenset[Role]


class Action(StrEnum):
    """Everything that needs a permission."""

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
    Action.ALLOCATIONS_READ: _rule("see allocations and their use", Scope.READ),
    Action.ALLOCATIONS_CHANGE: _rule("give, change and revoke allocations", Scope.MANAGE, _OPERATOR, _SITE),
    Action.REQUESTS_READ: _rule("see requests", Scope.READ, _OPERATOR, _AUDITOR, _SITE, _MANAGER),
    Action.REQUESTS_ASK: _rule("make and withdraw requests", Scope.MANAGE, _MANAGER),
    Action.REQUESTS_DECIDE: _rule("grant, change or decline a request", Scope.MANAGE, _OPERATOR, _SITE),
    Action.JOBS_READ: _rule("see jobs, their history and their logs", Scope.READ),
    Action.JOBS_SUBMIT: _rule("submit a pod, or have it explained", Scope.SUBMIT, _MANAGER, _MEMBER),
    Action.JOBS_CANCEL: _rule(
        "cancel jobs (members: only their own)", Scope.CANCEL, _OPERATOR, _SITE, _MANAGER, _MEMBER
    ),
    Action.USAGE_READ: _rule("see usage records", Scope.READ),
    Action.AUDIT_READ: _rule("read the audit trail", Scope.READ, _OPERATOR, _AUDITOR, _SITE, _MANAGER),
    Action.ROLES_READ: _rule("see roles at sites and in the federation", Scope.READ, _OPERATOR, _AUDITOR),
    Action.ROLES_CHANGE: _rule("give and take roles by hand", Scope.MANAGE, _OPERATOR),
    Action.CLAIMS_TRY: _rule("try which memberships some claims would give", Scope.READ, _OPERATOR, _AUDITOR),
    Action.WIRE: _rule("create, poll and delete pods by the interLink wire", Scope.SUBMIT, _NODE),
}


def as_markdown() -> str:
    """Returns the page docs/roles.md."""
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

Drawn by `manage.py draw_roles` from the table in `controlplane/auth/roles.py`. One test compares the two; another calls
every URL of the API with every role.

| role | who has it |
|---|---|
{meanings}

A service account has the role of a manager or a member in its tenant. A person may have several roles, and may do what
any of them allows. A token has two limits: its scopes, and what its owner may do at that moment.

Every authenticated caller may call `/api/v1/me` to see its own identity. An object outside of the caller's reach
(another tenant's job, another site's allocation) does not exist for the caller: 404. An action that none of the
caller's roles allows is refused: 403. PostgreSQL's row security is a second check: each transaction of the web service
sees only the rows within the caller's reach for the action.

{head}
{rows}
"""
