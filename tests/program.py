"""The program as tests read it: its own files, and the hand-written SQL statements in them."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PROJECT = Path(__file__).parent.parent
PACKAGES = ("controlplane", "sites", "jobs", "frontend")
_SQL = re.compile(r"\s*(SELECT\s+\S|(WITH|INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+\w)")


class Statement(NamedTuple):
    """where: the module, and the name of the constant or the line of the literal."""

    module: str
    where: str
    sql: str

    def __str__(self) -> str:
        return f"{self.module}.{self.where}"


@cache
def files() -> dict[str, Path]:
    """Return module name -> file for all production code. Migrations are left out: each ran before the first test."""
    found = {}
    for package in PACKAGES:
        for file in sorted((PROJECT / package).rglob("*.py")):
            parts = file.relative_to(PROJECT).with_suffix("").parts
            if "migrations" not in parts:
                found[".".join(part for part in parts if part != "__init__")] = file
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(files()[module].read_text(encoding="utf-8"))


def imported(module: str) -> ModuleType:
    return importlib.import_module(module)


@cache
def statements() -> list[Statement]:
    """Return the SQL in module constants (also in tuples or built at import) and in literals executed in place."""
    found: dict[str, Statement] = {}
    for module in files():
        for name, value in vars(imported(module)).items():
            for sql in _texts(value):
                found.setdefault(sql, Statement(module, name, sql))
        for argument in executed(module):
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.setdefault(argument.value, Statement(module, f"line {argument.lineno}", argument.value))
    return list(found.values())


def is_sql(text: object) -> bool:
    return isinstance(text, str) and _SQL.match(text) is not None


def executed(module: str) -> Iterator[ast.expr]:
    """Yield what a module passes to PostgreSQL: the statements of `execute`, `first`, `prepare` and the like."""
    for node in ast.walk(tree(module)):
        match node:
            case ast.Call(func=ast.Attribute(attr="execute" | "executemany" | "first" | "raw"), args=[statement, *_]):
                yield statement
            case ast.Call(func=ast.Attribute(attr="prepare"), args=[_, statement]):
                yield statement
            case ast.Call(func=ast.Name(id="execute" | "first" | "RawSQL"), args=[statement, *_]):
                yield statement


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if is_sql(value):
            yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _texts(each)


def path(module: str) -> str:
    """Return a module's file as a column's help text writes it."""
    return files()[module].relative_to(PROJECT).as_posix()
