"""docs/settings.md matches the code: every name, and every default that is a value."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.environment import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "docs" / "settings.md"
READERS = {"string", "number", "seconds", "boolean", "items", "_given"}
ROW = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?P<default>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)


def test_the_page_documents_exactly_the_settings_of_the_code() -> None:
    pages, code = set(documented()), set(read_by_the_code())
    assert (code - pages, pages - code) == (set(), set()), "(not in docs/settings.md, not in the code)"


def test_the_documented_defaults_are_the_real_ones() -> None:
    pages, code = documented(), read_by_the_code()
    known = {name: value for name, value in code.items() if value and name in pages}
    assert {name: pages[name] for name in known} == known


def documented() -> dict[str, str]:
    """Return name -> default: the first `quoted` value of the cell, or its text without a note in brackets."""
    rows = {row["name"]: row["default"].strip() for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
    return {name: re.sub(r"^`([^`]*)`( \(.*\))?$", r"\1", default) for name, default in rows.items()}


def read_by_the_code() -> dict[str, str]:
    """Return name -> default as the page writes it; "" if the default is not a plain value (a path, say)."""
    found = {f"DATABASE_{role.upper()}_URL": "DATABASE_URL" for role in ROLES}
    for package in ("controlplane", "sites", "jobs", "frontend", "deploy/embedded"):
        for file in (PROJECT / package).rglob("*.py"):
            for name, default in settings_read_in(file):
                found[name] = found.get(name) or default
    return found


def settings_read_in(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=reader), args=[ast.Constant(value=str(name))]) if reader in READERS:
                yield name, default_of(node)
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"),
                args=[ast.Constant(value=str(name)), *rest],
            ):
                yield name, plain(rest[0]) if rest else ""
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(name))):
                yield name, ""
            case ast.Compare(left=ast.Constant(value=str(name)), comparators=[ast.Attribute(attr="environ")]):
                yield name, ""


def default_of(call: ast.Call) -> str:
    if any(keyword.arg == "secret" for keyword in call.keywords):
        return "required"
    defaults = [keyword.value for keyword in call.keywords if keyword.arg == "default"]
    return plain(defaults[0]) if defaults else "required"


def plain(expression: ast.expr) -> str:
    """Return a literal, or a product of literals, as the page writes it."""
    match expression:
        case ast.Constant(value=""):
            return "empty"
        case ast.Constant(value=value):
            return str(value)
        case ast.BinOp(op=ast.Mult()):
            return str(int(plain(expression.left)) * int(plain(expression.right)))
    return ""
