"""Row security: which rows of each tenant-owned table the web and worker roles see. Uses PostgreSQL, without Django.

The web role sees the rows that its transaction's settings allow (controlplane/tenants/scope.py); without settings it
sees none. The worker serves all tenants and has its own policy. No role has BYPASSRLS. Row security does not apply to
the owner, who runs migrations and commands. `manage.py prepare_database` sets all policies again at each run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from psycopg import sql

if TYPE_CHECKING:
    from controlplane.ops.database_roles import Cursor

# Sub-selects: PostgreSQL evaluates them once per statement instead of once per row.
_ALL: LiteralString = "(SELECT current_setting('isthmus.tenants', true) = '*')"
_TENANTS: LiteralString = "(SELECT isthmus_ids('isthmus.tenants'))::bigint[]"
_SITES: LiteralString = "(SELECT isthmus_ids('isthmus.sites'))::bigint[]"
_PERSON: LiteralString = "(SELECT nullif(current_setting('isthmus.person', true), '')::bigint)"

_TENANT: LiteralString = f"{_ALL} OR tenant_id = ANY({_TENANTS})"
_TENANT_OR_SITE: LiteralString = f"{_TENANT} OR site_id = ANY({_SITES})"
_TENANT_OR_PERSON: LiteralString = f"{_TENANT} OR person_id = {_PERSON}"
_OF_JOB: LiteralString = "EXISTS (SELECT FROM jobs_job AS job WHERE job.id = job_id)"
_OF_NODE: LiteralString = "EXISTS (SELECT FROM tenants_virtualnode AS node WHERE node.id = node_id)"
_SLUGS: LiteralString = f"(SELECT slug FROM hpc_sites_site WHERE id = ANY({_SITES}))"  # noqa: S608  (constants above)
_USES_SITE: LiteralString = (
    "EXISTS (SELECT FROM hpc_sites_allocation AS allocation"
    f" WHERE allocation.tenant_id = tenants_tenant.id AND allocation.site_id = ANY({_SITES}))"
)
_ASKS_SITE: LiteralString = (
    "EXISTS (SELECT FROM tenants_approvalrequest AS request"
    f" WHERE request.tenant_id = tenants_tenant.id AND request.site IN {_SLUGS})"
)

#: {table: condition}: the rows that the web role sees and may write.
VISIBLE: dict[str, LiteralString] = {
    "tenants_tenant": f"{_ALL} OR id = ANY({_TENANTS}) OR {_USES_SITE} OR {_ASKS_SITE}",
    "tenants_membership": _TENANT_OR_PERSON,
    "tenants_virtualnode": (
        f"{_TENANT} OR EXISTS (SELECT FROM jobs_job AS job"
        f" WHERE job.node_id = tenants_virtualnode.id AND job.site_id = ANY({_SITES}))"
    ),
    "tenants_serviceaccount": _TENANT,
    "tenants_apitoken": _TENANT_OR_PERSON,
    "tenants_approvalrequest": f"{_TENANT} OR site IN {_SLUGS}",
    "hpc_sites_allocation": _TENANT_OR_SITE,
    "hpc_sites_route": f"{_ALL} OR site_id = ANY({_SITES}) OR {_OF_NODE}",
    "jobs_job": _TENANT_OR_SITE,
    "jobs_transition": _OF_JOB,
    "jobs_archivedlog": _OF_JOB,
    "jobs_tombstone": _OF_NODE,
    "jobs_usagerecord": _TENANT_OR_SITE,
    "audit_event": f"{_TENANT} OR site IN {_SLUGS}",
}
#: {table: condition}: the rows that the web role may write, where they differ from those it sees. Any caller's act can
#: be recorded, and a person, who sees the own memberships, cannot create one.
WRITABLE: dict[str, LiteralString] = {"audit_event": "true", "tenants_membership": _TENANT}
_POLICIES = ("web", "web_insert", "web_update", "web_delete", "worker")

#: Functions that bypass row security, because they run with their owner's rights. Only the web role may call them.
PASSES: tuple[LiteralString, ...] = (
    "isthmus_token(bytea)",
    "isthmus_status(bigint,uuid,jsonb)",
    "isthmus_status_of_all(bigint,integer)",
)


def protect(cursor: Cursor, *, web: str | None, worker: str | None) -> None:
    """Enables row security on every table of VISIBLE and replaces its policies.

    web, worker: names of the roles; None for a role that connects as the owner, which needs no policy.
    """
    for table, visible in VISIBLE.items():
        _execute(cursor, "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", table)
        for name in _POLICIES:
            _execute(cursor, "DROP POLICY IF EXISTS {policy} ON {table}", table, policy=name)
        if web is not None:
            _protect_from_web(cursor, table, visible, web)
        if worker is not None:
            _allow(cursor, table, worker, "worker", "USING (true)")
    for function in PASSES:
        # By default PostgreSQL searches the caller's pg_temp first: a caller could put types with its own code there.
        cursor.execute(sql.SQL("ALTER FUNCTION " + function + " SET search_path = pg_catalog, pg_temp"))
        cursor.execute(sql.SQL("REVOKE ALL ON FUNCTION " + function + " FROM PUBLIC"))
        if web is not None:
            grant = sql.SQL("GRANT EXECUTE ON FUNCTION " + function + " TO {}")
            cursor.execute(grant.format(sql.Identifier(web)))


def _protect_from_web(cursor: Cursor, table: str, visible: LiteralString, web: str) -> None:
    may_write = WRITABLE.get(table)
    if may_write is None:
        _allow(cursor, table, web, "web", "USING (" + visible + ")")
        return
    _allow(cursor, table, web, "web", "USING (" + visible + ")", "FOR SELECT ")
    _allow(cursor, table, web, "web_insert", "WITH CHECK (" + may_write + ")", "FOR INSERT ")
    _allow(cursor, table, web, "web_update", "USING (" + may_write + ")", "FOR UPDATE ")
    _allow(cursor, table, web, "web_delete", "USING (" + may_write + ")", "FOR DELETE ")


def _allow(
    cursor: Cursor, table: str, role: str, policy: str, rows: LiteralString, command: LiteralString = ""
) -> None:
    statement: LiteralString = "CREATE POLICY {policy} ON {table} " + command + "TO {role} " + rows
    _execute(cursor, statement, table, policy=policy, role=role)


def _execute(cursor: Cursor, statement: LiteralString, table: str, *, policy: str = "", role: str = "") -> None:
    names = {"table": sql.Identifier(table), "policy": sql.Identifier(policy), "role": sql.Identifier(role)}
    cursor.execute(sql.SQL(statement).format(**{k: v for k, v in names.items() if "{" + k + "}" in statement}))
