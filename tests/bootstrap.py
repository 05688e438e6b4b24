"""A pytest plugin (see pyproject.toml) that starts PostgreSQL and Valkey before Django's settings load.

Each run has servers and data of its own in a temporary folder, so that runs side by side do not meet. DATABASE_URL and
REDIS_URL win; the test database then has a name of its own, and the Redis given should serve one run at a time.
A run of several processes (tests/processes.py) has one of each, started by the process that runs none of the tests.
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
    """Before pytest-django's hook of the same name, which reads the settings."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="isthmus-tests-"))
    folder.chmod(0o711)  # as root, the servers' user must get through to their own folder in it
    early_config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    try:
        running = embedded.start(folder / "services", durable=False)
    except embedded.CannotStart as error:
        raise pytest.UsageError(str(error)) from error
    early_config.add_cleanup(running.stop)  # the last added is the first done
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
