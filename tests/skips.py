"""A pytest plugin (see pyproject.toml): why tests were skipped, a line for each reason with the number of tests.

pytest's own `-rs` has a line for each place in a file, which is a hundred of them where no Slurm is.
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
    """Of a skipped test, or of a module that skipped itself; its longrepr is (file, line, `Skipped: reason`)."""
    told = report.longrepr
    return told[2].removeprefix("Skipped: ") if isinstance(told, tuple) else str(told)
