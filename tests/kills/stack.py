"""The whole control plane as real processes, each of which can be killed and started again."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError
from urllib.request import urlopen

from deploy import embedded
from deploy.demo.processes import argvs
from deploy.embedded.unprivileged import command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.embedded.server import Server

PROJECT = Path(__file__).resolve().parents[2]
UP_WITHIN = 60.0


class Stack:
    """Its own services with durable data, and web, workers and beat as production starts them.

    settings: more environment variables. Start it from the main thread: everything ends with that thread, however it
    dies. Logs are in `folder`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._services = embedded.start(folder / "services", durable=True)
        self._environ = {**_environment(folder), **settings, **self._services.environment()}
        self._argvs = argvs(_free_port())
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._argvs['web'][-1]}"

    @property
    def database_url(self) -> str:
        """Return the owner's URL, for the test's own checks."""
        return self._services.database_urls["owner"]

    @property
    def postgres(self) -> Server:
        assert self._services.postgres, "a stack starts services of its own"
        return self._services.postgres

    @property
    def redis(self) -> Server:
        """Redis, which keeps nothing: it is empty after a restart."""
        assert self._services.valkey, "a stack starts services of its own"
        return self._services.valkey

    def manage(self, *argv: str, given: Any = None) -> str:
        """Run a Python program (`manage.py ...`, `-m ...`) as the owner, with `given` as JSON on its standard input."""
        done = subprocess.run(
            [sys.executable, *argv],
            env={**self._environ, "ISTHMUS_DATABASE_ROLE": "owner"},
            cwd=PROJECT,
            input=json.dumps(given),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def seed(self, site: Mapping[str, object]) -> dict[str, str]:
        """Make a site ({"kind", "config", "secret", "poll_interval"}). Return {"slug", "token"} of its virtual node."""
        node: dict[str, str] = json.loads(self.manage("-m", "tests.kills.seed", given=site))
        return node

    def start(self, name: str) -> None:
        """Start `web`, `worker` (or a further one: `worker-2`) or `beat`. Its output goes to <folder>/<name>.log."""
        kind = name.partition("-")[0]
        role = "web" if kind == "web" else "worker"
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command(self._argvs[kind], None, on_parent_death=signal.SIGKILL),
                env={**self._environ, "ISTHMUS_DATABASE_ROLE": role},
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pids(self) -> dict[str, int]:
        """Return the process ids by name, with PostgreSQL and Redis. Each process may have children."""
        ours = {name: process.pid for name, process in self._running.items()}
        return ours | {"postgres": self.postgres.pid, "redis": self.redis.pid}

    def kill(self, name: str) -> None:
        """Kill the process and all its descendants with SIGKILL."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_WITHIN
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the web server does not answer; see {self.folder}/web.log")
            time.sleep(0.1)

    def dead(self) -> list[str]:
        """Return the processes that have ended without a kill of ours."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)
        self._services.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=2):
                return True
        except (URLError, OSError):
            return False


def _environment(folder: Path) -> dict[str, str]:
    """Return this process's environment without its database and its Redis."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
    return own | {
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "ISTHMUS_SECRET_KEY": secrets.token_urlsafe(48),
        "ISTHMUS_ENCRYPTION_KEYS": f"kills:{key}",
        "ISTHMUS_LOG_ARCHIVE": str(folder / "logs"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
