"""A pytest plugin (see pyproject.toml) that starts PostgreSQL and Valkey before Django's settings load.

Each run has its own servers and data in a temporary folder, so that parallel runs do not collide. DATABASE_URL and
REDIS_URL take precedence: the test database then gets a name of its own, and one Redis should serve only one run at a
time. A run with several processes (tests/processes.py) shares one PostgreSQL and one Valkey; the process that runs no
tests starts them.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest

from deploy import embedded


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Run before pytest-django's hook of the same name, which reads the settings."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="isthmus-tests-"))
    folder.chmod(0o711)  # as root, the servers' user must be able to reach its own folder in it
    early_config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    try:
        running = embedded.start(folder / "services", durable=False)
    except embedded.CannotStart as error:
        raise pytest.UsageError(str(error)) from error
    early_config.add_cleanup(running.stop)  # cleanups run in reverse order
    os.environ |= running.environment()
    for name, value in _settings(folder).items():
        os.environ.setdefault(name, value)


def _settings(folder: Path) -> dict[str, str]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "ISTHMUS_SECRET_KEY": secrets.token_urlsafe(48),
        "ISTHMUS_ENCRYPTION_KEYS": f"test:{key}",
        "ISTHMUS_LOG_ARCHIVE": str(folder / "logs"),
    }
