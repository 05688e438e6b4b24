"""Rules that the code of the tests keeps."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
MODULES = [str(path.relative_to(TESTS)) for path in sorted(TESTS.rglob("*.py"))]


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_a_test_module(module: str) -> None:
    """What two of them need lies in a module without tests: each can then be moved, and run alone, without another."""
    names = imported((TESTS / module).read_text(encoding="utf-8"))
    assert [name for name in names if name.startswith("tests.") and ".test_" in name] == []


def test_the_rule_about_imports_sees_them_all() -> None:
    source = "import tests.test_a\nfrom tests.b.test_c import d\ndef e():\n    from tests.f import test_g, h"
    assert list(imported(source)) == ["tests.test_a", "tests.b.test_c.d", "tests.f.test_g", "tests.f.h"]


def imported(source: str) -> Iterator[str]:
    """The full name of each module that the source imports, and of each thing it imports from one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
