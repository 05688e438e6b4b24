"""Rules that the tests' own code keeps.

test_rules.py has the rules of the program's code.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes import GROUPS, group_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
MODULES = [str(path.relative_to(TESTS)) for path in sorted(TESTS.rglob("*.py"))]


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_a_test_module(module: str) -> None:
    """What two modules share is in a module without tests. Each can then be moved, and run alone."""
    names = imported((TESTS / module).read_text(encoding="utf-8"))
    assert [name for name in names if name.startswith("tests.") and ".test_" in name] == []


@pytest.mark.parametrize("module", [module for module in MODULES if Path(module).name.startswith("test_")])
def test_a_module_that_uses_the_shared_slurm_is_in_its_group(module: str) -> None:
    tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
    asked = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    if asked & {"slurm_backend", "ssh_backend"}:
        assert group_of(f"tests/{module}") == "slurm"


def test_every_group_names_existing_modules() -> None:
    assert [place for places in GROUPS.values() for place in places if not (TESTS.parent / place).exists()] == []


def test_the_rule_about_imports_detects_every_form() -> None:
    source = "import tests.test_a\nfrom tests.b.test_c import d\ndef e():\n    from tests.f import test_g, h"
    assert list(imported(source)) == ["tests.test_a", "tests.b.test_c.d", "tests.f.test_g", "tests.f.h"]


def imported(source: str) -> Iterator[str]:
    """Return the full name of each module that the source imports, and of each name that it imports from one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
