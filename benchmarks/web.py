"""Web servers for benchmarks: PostgreSQL with its data on disk, and any WSGI application behind Granian."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import embedded
from deploy.embedded.unprivileged import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[1]
ISTHMUS = "controlplane.wsgi:application"
UP_WITHIN = 60.0


@dataclass(frozen=True)
class Prepared:
    """A migrated database with one virtual node. database_url: with the owner's role."""

    environ: Mapping[str, str]
    database_url: str
    token: str

    @contextmanager
    def serving(self, application: str = ISTHMUS, **environ: str) -> Iterator[int]:
        """Serve `application` with the settings of `manage.py serve`, until the block ends. Yields the port."""
        port = _free_port()
        argv = [sys.executable, "manage.py", "serve", "--port", str(port), "--application", application]
        process = subprocess.Popen(
            command(argv, None, on_parent_death=signal.SIGTERM),
            env={**self.environ, **environ, "ISTHMUS_DATABASE_ROLE": "web"},
            cwd=PROJECT,
        )
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait()


@contextmanager
def prepared() -> Iterator[Prepared]:
    """Yield services that end with the block, and also when this process dies."""
    with tempfile.TemporaryDirectory(prefix="isthmus-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the servers' user must be able to reach its own folder in it
        with embedded.start(folder / "services", durable=True) as running:
            environ = _environment(folder) | running.environment()
            subprocess.run(
                [sys.executable, "manage.py", "prepare_database", "-v0"], env=environ, cwd=PROJECT, check=True
            )
            site = {"kind": "memory", "config": {"name": "benchmark"}, "secret": "", "poll_interval": 5}
            seeded = subprocess.run(
                [sys.executable, "-m", "tests.kills.seed"],
                env=environ,
                cwd=PROJECT,
                input=json.dumps(site),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            yield Prepared(environ, running.database_urls["owner"], json.loads(seeded.stdout)["token"])


def _environment(folder: Path) -> dict[str, str]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "ISTHMUS_SECRET_KEY": secrets.token_urlsafe(48),
        "ISTHMUS_ENCRYPTION_KEYS": f"bench:{key}",
        "ISTHMUS_LOG_ARCHIVE": str(folder / "logs"),
        "ISTHMUS_LOG_LEVEL": "WARNING",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The web server did not start; its output is above.")
