"""Starts a private PostgreSQL with a data folder, a unix socket, and three roles with passwords."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql

from controlplane.environment import ROLES
from controlplane.ops.database_roles import ensure_login
from deploy.embedded.postgres_binaries import choose_binaries, find_bindirs
from deploy.embedded.server import ENVIRONMENT, Server
from deploy.embedded.unprivileged import CannotStart, User, command, private_folder

if TYPE_CHECKING:
    from contextlib import ExitStack

DATABASE = "isthmus"
ADMINISTRATOR = "isthmus_administrator"
SOCKET_PATH_LIMIT = 107  # bytes; the kernel's limit for a unix socket's path


def start_postgres(
    folder: Path, user: User, *, durable: bool, embedded_only: bool, cleanup: ExitStack
) -> tuple[Server, dict[str, str]]:
    """Start PostgreSQL on the data in `folder`, which the first start creates. Returns it and a URL for each role."""
    home = private_folder(folder / "postgres", user)
    data = home / "data"
    bindir = choose_binaries(data, user, find_bindirs(user, embedded_only=embedded_only))
    passwords = _passwords(folder / "postgres-passwords.json")
    if not data.exists():
        _initialise(data, bindir, user, passwords[ADMINISTRATOR], durable=durable)
    sockets = _socket_folder(folder, user, cleanup)

    def url(role: str, database: str = DATABASE) -> str:
        return f"postgresql://{role}:{passwords[role]}@/{database}?host={quote(str(sockets), safe='')}&port=5432"

    administrator = url(ADMINISTRATOR, "template1")

    def answers() -> bool:
        try:
            psycopg.connect(administrator, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    server = Server(
        name="PostgreSQL",
        argv=[str(bindir / "postgres"), "-D", str(data), *_options(sockets, durable=durable)],
        home=data,
        pid_file=data / "postmaster.pid",
        log=folder / "postgres.log",
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
        answers=answers,
        user=user,
    )
    cleanup.callback(server.stop)
    server.start()
    _ensure_database(administrator, passwords)
    return server, {role: url(f"isthmus_{role}") for role in ROLES}


def _initialise(data: Path, bindir: Path, user: User, password: str, *, durable: bool) -> None:
    """Create the data folder in one step: an interrupted first start leaves no half-made folder at `data`.

    Raises CannotStart if initdb fails.
    """
    fresh = data.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", dir=data.parent.parent) as password_file:
        password_file.write(password)
        password_file.flush()
        if user:
            os.fchown(password_file.fileno(), user.pw_uid, user.pw_gid)
        argv = [str(bindir / "initdb"), "-D", str(fresh), "--username", ADMINISTRATOR, "--encoding=UTF8"]
        argv += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file.name}"]
        argv += [] if durable else ["--no-sync"]
        made = subprocess.run(
            command(argv, user, on_parent_death=signal.SIGKILL),
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=ENVIRONMENT,
        )
    if made.returncode:
        raise CannotStart(f"initdb could not create {data}: {made.stderr.strip()}")
    fresh.rename(data)


def _passwords(path: Path) -> dict[str, str]:
    """Return the passwords of the administrator and of each role. The first start makes them; the file keeps them."""
    if not path.exists():
        made = {name: secrets.token_urlsafe(24) for name in (ADMINISTRATOR, *(f"isthmus_{role}" for role in ROLES))}
        fresh = path.with_suffix(".fresh")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(made), encoding="ascii")
        fresh.rename(path)
    kept: dict[str, str] = json.loads(path.read_text(encoding="ascii"))
    return kept


def _socket_folder(folder: Path, user: User, cleanup: ExitStack) -> Path:
    """Return the folder for the socket: beside the data, or a temporary one if that path is too long."""
    beside = folder / "run"
    if len(os.fsencode(beside / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT:
        return private_folder(beside, user)
    place = tempfile.mkdtemp(prefix="isthmus-", dir="/tmp")
    cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    return private_folder(Path(place), user)


def _options(sockets: Path, *, durable: bool) -> list[str]:
    quoted = str(sockets).replace('"', '""')
    settings = {
        "port": "5432",
        "listen_addresses": "",
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A failed statement contains its values, which may be secrets: only the client sees it, not the log.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]


def _ensure_database(administrator: str, passwords: dict[str, str]) -> None:
    with psycopg.connect(administrator, autocommit=True) as connection, connection.cursor() as cursor:
        for role in ROLES:
            ensure_login(cursor, f"isthmus_{role}", passwords[f"isthmus_{role}"])
        cursor.execute("ALTER ROLE isthmus_owner CREATEDB")  # a test run creates its own database
        cursor.execute("GRANT isthmus_web, isthmus_worker TO isthmus_owner")  # and uses it in both roles
        # PostgreSQL 14 gets here what 15 does by default: only a database's owner adds tables. This is the template.
        cursor.execute("ALTER SCHEMA public OWNER TO pg_database_owner")
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone() is None:
            create = sql.SQL("CREATE DATABASE {} OWNER isthmus_owner").format(sql.Identifier(DATABASE))
            cursor.execute(create)
