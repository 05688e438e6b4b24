"""What import-linter cannot check: which parts of Django a module imports. Its own contracts are in pyproject.toml."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
WITHOUT_WEB = "Rules and use cases import neither the web nor the queue"
#: The parts of Django that belong to the web.
WEB = ("django.http", "django.views", "django.urls", "django.shortcuts", "django.template", "django.middleware")


def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a module's imports mention: `from a import b` is a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files_of(module: str) -> list[Path]:
    place = ROOT.joinpath(*module.split("."))
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


@pytest.mark.parametrize(
    "module",
    next(contract["source_modules"] for contract in CONTRACTS if contract["name"] == WITHOUT_WEB),
)
def test_rules_and_use_cases_import_nothing_of_djangos_web(module: str) -> None:
    files = files_of(module)
    assert files
    for path in files:
        web = {name for name in imports_of(path) if f"{name}.".startswith(tuple(f"{part}." for part in WEB))}
        assert not web, f"{path.relative_to(ROOT)} imports {web}"


def test_every_package_has_a_layer_contract_that_names_all_its_modules() -> None:
    """In a new package without a contract, any module could import any other."""
    ordered = {
        container
        for contract in CONTRACTS
        if contract["type"] == "layers" and contract.get("exhaustive")
        for container in contract["containers"]
    }
    packages = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("controlplane", "frontend", "jobs", "sites")
        for init in (ROOT / top).rglob("__init__.py")
        if len([*init.parent.glob("[!_]*.py")]) > 1 and not {"migrations", "commands"} & set(init.parts)
    }
    assert "jobs.worker" in packages
    assert packages <= ordered
