"""Rules that the program's code keeps, so that its readers can rely on them.

test_rules_of_tests.py has the rules of the tests' own code.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.conf import settings
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from controlplane.ops import row_security
from controlplane.reach import Reached

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = ("controlplane", "frontend", "jobs", "sites")
#: A view gets rows from `queries` or a use case. It uses nothing that builds a query.
QUERY_METHODS = frozenset({
    "aggregate", "alias", "annotate", "cursor", "defer", "exclude", "extra", "filter", "get_or_create", "only",
    "order_by", "prefetch_related", "raw", "select_for_update", "select_related", "values_list",
})  # fmt: skip
#: `rights`, `permissions` and `within` decide who may do what. A view uses nothing else for that.
RULE_ATTRIBUTES = frozenset({"everything", "held"})
#: Modules with views that may query the database themselves, and why.
VIEW_EXCEPTIONS = {
    "controlplane.api.idempotency": "keeps what was answered: its rows are the API's own, and no tenant's",
    "controlplane.probes": "asks whether PostgreSQL answers, and for no rows",
    "jobs.metrics": "counts everybody's rows for the operator, by statements of its own that partial indexes answer",
}


@cache
def view_modules() -> tuple[str, ...]:
    """Return every module of ours that an address leads to, and all other modules of packages that contain views."""
    files = [path for package in ("controlplane/api", "jobs/api", "sites/api", "frontend") for path in python(package)]
    named = {".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts) for path in files}
    called = set(modules_of_views(get_resolver()))
    return tuple(sorted(named | {name for name in called if name.split(".")[0] in OURS}))


def python(package: str) -> list[Path]:
    return [path for path in (settings.BASE_DIR / package).rglob("*.py") if path.name != "__init__.py"]


def path_of(module: str) -> Path:
    return settings.BASE_DIR.joinpath(*module.split(".")).with_suffix(".py")


def modules_of_views(resolver: URLResolver) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from modules_of_views(pattern)
        elif isinstance(pattern, URLPattern):
            yield getattr(pattern.callback, "view_class", pattern.callback).__module__


def breaches(text: str) -> list[str]:
    """Yield what a module with views must not contain: a query of its own, or a use of rights."""
    tree = ast.parse(text)
    doors = {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "within"
    }
    return [ast.unparse(node) for node in ast.walk(tree) if is_breach(node, doors)]


def is_breach(node: ast.AST, doors: set[int]) -> bool:
    """Return whether a node breaks the rule. doors: the nodes on which `.within(...)` is called."""
    match node:
        case ast.Attribute(attr="objects" | "_default_manager" | "_base_manager"):
            return id(node) not in doors
        case ast.Attribute(attr=name) if name in RULE_ATTRIBUTES:
            return True
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in QUERY_METHODS
        case ast.Call(func=ast.Name(id="Q" | "F" | "Subquery" | "OuterRef" | "Exists" | "Count" | "Sum")):
            return True
        case ast.ImportFrom(module="django.db"):
            return "connection" in {alias.name for alias in node.names}
        case ast.ImportFrom(module="controlplane"):
            return "database" in {alias.name for alias in node.names}
    return False


@pytest.mark.parametrize("module", view_modules())
def test_a_view_contains_no_query_and_no_rule_of_access(module: str) -> None:
    found = breaches(path_of(module).read_text(encoding="utf-8"))
    if module in VIEW_EXCEPTIONS:
        assert found, f"{module} no longer needs its exception."
    else:
        assert not found, (
            f"{module} queries the database or checks rights itself; use `queries` or `permissions`: {found}"
        )


def test_the_walk_over_views_finds_all_of_them() -> None:
    assert {"jobs.interlink.views", "controlplane.auth.login.pages"} <= set(view_modules())
    assert {"controlplane.auth.tokens.endpoint", "controlplane.auth.login.views"} <= set(view_modules())
    assert set(VIEW_EXCEPTIONS) <= set(view_modules())


@pytest.mark.parametrize(
    "line",
    [
        "Job.objects.all()",
        "Job.objects.filter(pk=1)",
        "Job.objects.within(reach).filter(pk=1)",
        "rows.exclude(pk=1)",
        "rows.annotate(n=n)",
        "rows.order_by('pk')",
        "Q(pk=1)",
        "connection.cursor()",
        "from django.db import connection",
        "from controlplane import database",
        "reach.everything",
        "caller.rights.held",
    ],
)
def test_a_query_or_a_rule_of_access_in_a_view_is_detected(line: str) -> None:
    assert breaches(line)


def test_within_and_calls_of_queries_are_allowed() -> None:
    assert not breaches("Job.objects.within(self.reach).one('None.', key=key)\nqueries.jobs(self.reach, {}, caller)")


def test_rows_are_rendered_in_one_place() -> None:
    """Only `shown` and `page` read a serializer's data: one way for every kind of row."""
    found = {
        module
        for module in view_modules()
        for node in ast.walk(ast.parse(path_of(module).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "data" and isinstance(node.value, ast.Call)
    }
    assert found == {"controlplane.api.pages"}


def test_templates_query_no_rows() -> None:
    """Django's templates would silently call a manager."""
    pages = [path for name in OURS for path in (settings.BASE_DIR / name).rglob("*.html")]
    assert pages
    for path in pages:
        tags = re.findall(r"\{[{%].*?[%}]\}", path.read_text(encoding="utf-8"))
        assert not [tag for tag in tags if re.search(r"\.(objects|all|count|exists|first|last)\b|_set\b", tag)], path


def test_each_table_under_row_security_has_within() -> None:
    models = {model._meta.db_table: model for model in apps.get_models()}
    doors = {table for table in row_security.VISIBLE if isinstance(models[table]._default_manager.all(), Reached)}
    assert doors == set(row_security.VISIBLE)
