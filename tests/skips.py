"""A pytest plugin (see pyproject.toml) that prints why tests were skipped: a line per reason, with the number of tests.

pytest's own `-rs` prints one line per place in a file, which is a hundred lines on a machine without Slurm.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(map(_reason, terminalreporter.getreports("skipped")))
    if not reasons:
        return
    terminalreporter.write_sep("=", "why tests were skipped")
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests:>5}  {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test, or a whole module, was skipped; its longrepr is (file, line, `Skipped: reason`)."""
    told = report.longrepr
    return told[2].removeprefix("Skipped: ") if isinstance(told, tuple) else str(told)
