"""Polling as the control plane does it: events are confirmed once their report is recorded, and reports are merged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sites.connectors.base import Connector
    from sites.workload import ContainerReport, JobRef, Phase, Report


class Watch:
    """What is known of some jobs: the latest of their `reports` by key, and each one's `containers`, merged."""

    def __init__(self, connector: Connector, refs: Sequence[JobRef]) -> None:
        self._connector = connector
        self._refs = {ref.key: ref for ref in refs}
        self._recorded: list[str] = []
        self.reports: dict[str, Report] = {}
        self.containers: dict[str, dict[str, ContainerReport]] = {ref.key: {} for ref in refs}

    def look(self) -> None:
        """Poll the jobs that have not ended yet, once."""
        live = [ref for key, ref in self._refs.items() if not self._has_ended(key)]
        answers = self._connector.poll(live, self._recorded).reports
        self._recorded = []
        for key, report in answers.items():
            self.reports[key] = report
            self._recorded += report.events
            self.containers[key] |= {container.name: container for container in report.containers}

    def until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        self.look()
        while not true():
            assert time.monotonic() < deadline, f"not in {seconds} s: {self.reports}"
            time.sleep(0.15)
            self.look()

    def until_phase(self, phase: Phase, seconds: float = 60.0) -> None:
        """Poll until each job is in this phase."""
        self.until(lambda: all(self._phase(key) is phase for key in self._refs), seconds)

    def until_ended(self, seconds: float = 60.0) -> None:
        self.until(lambda: all(map(self._has_ended, self._refs)), seconds)

    def exit_codes(self, key: str) -> dict[str, int | None]:
        return {name: container.exit_code for name, container in self.containers[key].items()}

    def _phase(self, key: str) -> Phase | None:
        return self.reports[key].phase if key in self.reports else None

    def _has_ended(self, key: str) -> bool:
        return key in self.reports and self.reports[key].phase.is_end
