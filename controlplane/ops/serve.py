"""How the web process is served: Granian's options, each with its reason."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from django.conf import settings

APPLICATION = "controlplane.wsgi:application"


def granian_command(*, host: str, port: int, application: str = APPLICATION) -> list[str]:
    """Returns the argv of a web server for a WSGI application. Its working directory must be the project's folder."""
    options = {
        "--interface": "wsgi",
        "--http": 1,  # "auto" waits for a connection's first bytes without a time limit
        "--host": host,
        "--port": port,
        "--workers": settings.WEB_PROCESSES,
        "--blocking-threads": settings.WEB_THREADS,
        "--backlog": 4096,
        # Milliseconds to wait for a request's head, also between two requests, so idle connections are closed after
        # it. A kubelet with TLS opens a connection per request and closes none.
        "--http1-header-read-timeout": 5000,
        "--workers-kill-timeout": 30,
        "--log-level": "warning",
    }
    flags = ["--no-ws", "--respawn-failed-workers"]
    return [
        sys.executable,
        "-m",
        "granian",
        *(str(part) for option in options.items() for part in option),
        *flags,
        application,
    ]


def share_counters() -> None:
    """Gives the web processes a common folder for their counters, so that /metrics adds up all processes.

    Must run before the web processes start: prometheus_client reads PROMETHEUS_MULTIPROC_DIR when it is imported.
    Removes the files of an earlier server, whose counts would be added again.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or tempfile.mkdtemp(prefix="isthmus-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in Path(folder).glob("*.db"):
        left.unlink()
