"""PostgreSQL plans each hand-written statement with the roles that send it.

So a test finds a renamed column or a missing right, instead of a pod in production.
"""

from __future__ import annotations

import ast
import itertools
import re
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from controlplane import database
from tests import program
from tests.api import role_of
from tests.database_roles import database_role

if TYPE_CHECKING:
    from tests.program import Statement

pytestmark = pytest.mark.django_db

#: Modules (or packages) whose statements only one of web and worker sends -> that role.
SENT_BY = {
    "controlplane.ops": ("owner",),
    "controlplane.audit.months": ("owner",),
    "controlplane.auth.callers": ("web",),
    "jobs.interlink": ("web",),
    "jobs.worker": ("worker",),
}
#: (module, what it executes) -> why the statement is neither a constant nor a literal.
_UTILITY = "names and passwords in commands that have no plan; prepare_database runs them before the first test"
NOT_NAMED = {
    ("controlplane.audit.months", "sql.SQL(statement).format(**names)"): _UTILITY,
    ("controlplane.ops.database_roles", "_about(role, statement)"): _UTILITY,
    ("controlplane.ops.database_roles", "_about(role, 'REVOKE ALL ON {table} FROM {role}', table=table)"): _UTILITY,
    ("controlplane.ops.database_roles", "_about(role, 'GRANT ' + right + ' ON {table} TO {role}', table=table)"): (
        _UTILITY
    ),
    (
        "controlplane.ops.database_roles",
        "_about(role, 'CREATE ROLE {role} LOGIN PASSWORD {password}', password=password)",
    ): _UTILITY,
    (
        "controlplane.ops.database_roles",
        "_about(role, 'ALTER ROLE {role} ' + attributes + ' PASSWORD {password}', password=password)",
    ): _UTILITY,
    (
        "controlplane.ops.row_security",
        "sql.SQL('ALTER FUNCTION ' + function + ' SET search_path = pg_catalog, pg_temp')",
    ): _UTILITY,
    ("controlplane.ops.row_security", "sql.SQL('REVOKE ALL ON FUNCTION ' + function + ' FROM PUBLIC')"): _UTILITY,
    ("controlplane.ops.row_security", "grant.format(sql.Identifier(web))"): _UTILITY,
    (
        "controlplane.ops.row_security",
        "sql.SQL(statement).format(**{k: v for k, v in names.items() if '{' + k + '}' in statement})",
    ): _UTILITY,
    ("controlplane.database", "statement"): "what its callers pass, whose calls are looked at; and _insert's, below",
    ("jobs.interlink.last_heard", "statement"): "_NODES or _JOBS",
    ("jobs.interlink.status_reader", "sql.encode()"): "each of status.STATEMENTS",
    ("jobs.worker.site_lock", "statement"): "_TAKE or _GIVE_BACK",
    ("sites.approvals", "row"): "no SQL: it carries out what a request was granted",
}


@pytest.mark.parametrize(
    ("statement", "role"),
    [
        pytest.param(each, role, id=f"{each} as {role}")
        for each in program.statements()
        for role in next((r for name, r in SENT_BY.items() if each.module.startswith(name)), ("web", "worker"))
    ],
)
def test_each_statement_has_a_plan(statement: Statement, role: str, database_urls: dict[str, str]) -> None:
    with database_role(role_of(database_urls[role])):
        assert plan_of(statement.sql)


@pytest.mark.parametrize("model", [each for each in apps.get_models() if each.__module__.startswith(program.PACKAGES)])
def test_each_insert_made_for_a_model_has_a_plan(model: type) -> None:
    statement, _ = database._insert(model)
    assert "Insert on" in plan_of(statement)


def test_each_executed_statement_is_a_constant_or_a_literal() -> None:
    others = {
        (module, ast.unparse(argument))
        for module in program.files()
        for argument in program.executed(module)
        if not is_named(module, argument)
    }
    assert (others - set(NOT_NAMED), set(NOT_NAMED) - others) == (set(), set()), (
        "(new statements, entries without a statement)"
    )


def test_a_statement_built_at_run_time_is_detected() -> None:
    found = {str(each) for each in program.statements()}
    assert {"jobs.lifecycle._STORE", "jobs.interlink.status._ALL", "controlplane.tenants.scope._SET_BY_SLUGS"} <= found


def test_a_wrong_column_is_detected() -> None:
    with pytest.raises(DatabaseError, match="no_such_column"):
        plan_of("SELECT no_such_column FROM jobs_job WHERE id = %s")


def test_a_missing_right_is_detected(database_urls: dict[str, str]) -> None:
    with database_role(role_of(database_urls["web"])), pytest.raises(DatabaseError, match="permission denied"):
        plan_of("UPDATE jobs_usagerecord SET cpus = %s")


def is_named(module: str, argument: ast.expr) -> bool:
    match argument:
        case ast.Constant(value=str()):
            return True
        case ast.Name(id=name):
            return program.is_sql(getattr(program.imported(module), name, None))
    return False


def plan_of(sql: str) -> str:
    """Return EXPLAIN's output without parameter values, for PostgreSQL 12 and newer (GENERIC_PLAN needs 16)."""
    numbers = itertools.count(1)
    # Replace each of Django's placeholders by its own parameter, because one name may stand for values of two types.
    ours = re.sub(r"%(%|s|\(\w+\)s)", lambda found: "%" if found[1] == "%" else f"${next(numbers)}", sql)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        with transaction.atomic():
            cursor.execute(f"PREPARE explained AS {ours}")
        try:
            cursor.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'")
            (number,) = cursor.fetchone()
            values = f"({', '.join(['NULL'] * number)})" if number else ""
            with transaction.atomic():
                cursor.execute(f"EXPLAIN EXECUTE explained{values}")
            return "\n".join(line for (line,) in cursor.fetchall())
        finally:
            cursor.execute("DEALLOCATE explained")
