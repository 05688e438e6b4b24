"""The one place that says how the web process is served: Granian's settings, each with its reason."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from django.conf import settings

APPLICATION = "controlplane.wsgi:application"


def granian_command(*, host: str, port: int, application: str = APPLICATION) -> list[str]:
    """The argv of a web server for a WSGI application, to be run in this project's folder."""
    options = {
        "--interface": "wsgi",
        "--http": 1,  # "auto" waits for a connection's first bytes without any limit
        "--host": host,
        "--port": port,
        "--workers": settings.WEB_PROCESSES,
        "--blocking-threads": settings.WEB_THREADS,
        "--backlog": 4096,
        # A kubelet with TLS opens a connection per request and closes none. This is Granian's time to wait for a
        # request's head, and it runs between requests as well: idle connections end after it.
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
    """Give the web processes about to be started a folder of counters, so that /metrics tells of all of them.

    prometheus_client reads PROMETHEUS_MULTIPROC_DIR from the environment when it is imported, hence in there; what an
    earlier server left in the folder would be counted again.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or tempfile.mkdtemp(prefix="isthmus-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in Path(folder).glob("*.db"):
        left.unlink()
