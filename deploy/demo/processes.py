"""The web server, the worker and the beat as children that end with the demo, however it ends."""

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
    """How each process is started; the same commands as in docker-compose.yml."""
    celery = [sys.executable, "-m", "celery", "-A", "controlplane"]
    return {
        "web": [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(port)],
        "worker": [*celery, "worker", "-P", "threads", "--without-gossip", "--without-mingle"],
        "beat": [*celery, "beat"],
    }


@dataclass
class Children:
    """Started together, watched, and stopped in reverse order. Each logs to `<folder>/<name>.log`."""

    environ: Mapping[str, str]
    project: Path
    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: list[str]) -> None:
        """Start one child, in a session of its own: Ctrl-C is for us, who stop them in our own order."""
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
        """The name of a child that has ended by itself, if one has."""
        return next((name for name, child in self._running.items() if child.poll() is not None), None)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is still there after STOP_WITHIN seconds."""
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
