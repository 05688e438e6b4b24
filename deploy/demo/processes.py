"""Runs the web server, the worker and the beat as child processes that always end with the demo."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.embedded.unprivileged import command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_WITHIN = 35.0  # a worker may drain for 30 seconds


def argvs(port: int) -> dict[str, list[str]]:
    """Return the command of each process, by its name; the same commands as in docker-compose.yml."""
    celery = [sys.executable, "-m", "celery", "-A", "controlplane"]
    return {
        "web": [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(port)],
        "worker": [*celery, "worker", "-P", "threads", "--without-gossip", "--without-mingle"],
        "beat": [*celery, "beat"],
    }


@dataclass
class Children:
    """The child processes. Each logs to `<logs>/<name>.log`. They stop in reverse order of their start."""

    environ: Mapping[str, str]
    project: Path
    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: list[str]) -> None:
        """Start one child, in its own session: Ctrl-C then reaches only us, and we stop the children in order."""
        role = "web" if name == "web" else "worker"
        with (self.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command(argv, None, on_parent_death=signal.SIGTERM),
                env={**self.environ, "ISTHMUS_DATABASE_ROLE": role},
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def dead(self) -> str | None:
        """Return the name of a child that has ended by itself, or None."""
        return next((name for name, child in self._running.items() if child.poll() is not None), None)

    def stop(self) -> None:
        """Send SIGTERM to all children, and SIGKILL to those that still run after STOP_WITHIN seconds."""
        for child in reversed(self._running.values()):
            child.terminate()
        deadline = time.monotonic() + STOP_WITHIN
        for child in self._running.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._running.clear()
