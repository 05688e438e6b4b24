"""What each database role may do, tested with its own connection, and what makes the command fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from controlplane.environment import ROLES
from controlplane.ops.database_roles import with_database
from deploy import embedded
from jobs.models import Job, Transition, UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]
JOBS = Job._meta.db_table
DML = {"SELECT", "INSERT", "UPDATE", "DELETE"}


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_role_reads_and_writes_rows(database_urls: dict[str, str], role: str) -> None:
    assert rights(database_urls[role], JOBS) == DML


@pytest.mark.django_db
def test_history_and_usage_are_append_only(database_urls: dict[str, str]) -> None:
    for table in (Transition._meta.db_table, UsageRecord._meta.db_table):
        assert rights(database_urls["web"], table) == {"SELECT", "INSERT"}
        assert rights(database_urls["worker"], table) == {"SELECT", "INSERT", "DELETE"}


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["web", "worker"])
def test_rows_written_by_migrations_are_read_only_for_the_other_roles(database_urls: dict[str, str], role: str) -> None:
    assert rights(database_urls[role], "django_migrations") == {"SELECT"}


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.Services]:
    """A PostgreSQL for this module only, because these tests change roles, which all databases of a server share."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-prepare-"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", *(f"DATABASE_{role.upper()}_URL" for role in ROLES)):
            patch.delenv(name, raising=False)
        running = embedded.start(folder, durable=False)
    with running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def urls(server: embedded.Services) -> dict[str, str]:
    return dict(server.database_urls)


def test_it_may_run_repeatedly_and_in_parallel(urls: dict[str, str]) -> None:
    started = [start_preparing(urls) for _ in range(2)]
    assert [outcome(process) for process in [*started, start_preparing(urls)]] == [(0, "")] * 3
    assert rights(urls["web"], JOBS) == DML


def test_a_role_that_another_run_creates_meanwhile_is_accepted(server: embedded.Services, urls: dict[str, str]) -> None:
    late = {**urls, "web": urls["web"].replace("isthmus_web:", "isthmus_late:")}
    with psycopg.connect(administrator(server), autocommit=True) as watching:
        watching.execute("ALTER ROLE isthmus_owner CREATEROLE")
        with psycopg.connect(administrator(server)) as other:
            other.execute("CREATE ROLE isthmus_late LOGIN")
            preparing = start_preparing(late)
            deadline = time.monotonic() + 60
            while not watching.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid'").fetchall():
                assert time.monotonic() < deadline, "it does not wait for the other transaction"
                time.sleep(0.05)
        assert outcome(preparing) == (0, "")
        watching.execute("ALTER ROLE isthmus_owner NOCREATEROLE")


def test_a_table_that_a_later_migration_adds_can_be_used_at_once(urls: dict[str, str]) -> None:
    assert outcome(start_preparing(urls)) == (0, "")
    with psycopg.connect(urls["owner"]) as owner:
        owner.execute("CREATE TABLE later (id bigint)")
    assert rights(urls["worker"], "later") == DML


def test_the_owner_that_docker_compose_creates_can_prepare_everything(server: embedded.Services) -> None:
    assert server.postgres
    passwords = json.loads((server.folder / "postgres-passwords.json").read_text(encoding="ascii"))
    with psycopg.connect(administrator(server), autocommit=True) as connection:
        connection.execute("DROP DATABASE isthmus")
        for role in ROLES:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"isthmus_{role}")))
    environment = {
        "PATH": f"{Path(server.postgres.argv[0]).parent}:{os.environ['PATH']}",
        "PGHOST": str(server.folder / "run"),
        "PGPASSWORD": passwords["isthmus_administrator"],
        "POSTGRES_USER": "isthmus_administrator",
        "ISTHMUS_OWNER_PASSWORD": passwords["isthmus_owner"],
    }
    subprocess.run([PROJECT / "deploy" / "postgres" / "create-owner.sh"], env=environment, check=True)
    assert outcome(start_preparing(dict(server.database_urls))) == (0, "")
    assert rights(server.database_urls["worker"], JOBS) == DML


def test_an_owner_without_createrole_reads_what_to_run_without_the_password(
    server: embedded.Services, urls: dict[str, str]
) -> None:
    with_other = {**urls, "web": urls["web"].replace("isthmus_web:", "isthmus_other:hush")}
    with psycopg.connect(administrator(server)) as connection:  # since PostgreSQL 16 a role cannot do this to itself
        connection.execute("ALTER ROLE isthmus_owner NOCREATEROLE")
    code, said = outcome(start_preparing(with_other))
    assert code == 1
    assert "CREATE ROLE isthmus_other LOGIN with its password as a superuser" in said
    assert "hush" not in said


def test_a_role_that_bypasses_row_security_is_refused(server: embedded.Services, urls: dict[str, str]) -> None:
    code, said = outcome(start_preparing({**urls, "web": with_database(administrator(server), "isthmus")}))
    assert code == 1
    assert "isthmus_administrator is a superuser or has BYPASSRLS: give the web an ordinary role" in said


def test_a_role_that_may_create_tables_is_refused(server: embedded.Services, urls: dict[str, str]) -> None:
    with psycopg.connect(with_database(administrator(server), "isthmus"), autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        code, said = outcome(start_preparing(urls))
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert code == 1
    assert "run REVOKE CREATE ON SCHEMA public FROM PUBLIC in this database as a superuser" in said


def test_one_role_for_everything_works_with_a_warning(urls: dict[str, str]) -> None:
    code, said = outcome(start_preparing(dict.fromkeys(ROLES, urls["owner"])))
    assert code == 0
    assert "The web connects as the owner: row security does not apply to it." in said


def test_only_the_owner_role_may_prepare(urls: dict[str, str]) -> None:
    code, said = outcome(start_preparing(urls, ISTHMUS_DATABASE_ROLE="web"))
    assert code == 1
    assert "Run this with ISTHMUS_DATABASE_ROLE=owner" in said


def start_preparing(urls: dict[str, str], **more: str) -> subprocess.Popen[str]:
    named = {f"DATABASE_{role.upper()}_URL": url for role, url in urls.items()}
    return subprocess.Popen(
        [sys.executable, "manage.py", "prepare_database", "--verbosity", "0"],
        cwd=PROJECT,
        env=os.environ | named | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the command's exit code and its standard error."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def administrator(server: embedded.Services) -> str:
    """Return the superuser's URL, which the services do not expose."""
    passwords = json.loads((server.folder / "postgres-passwords.json").read_text(encoding="ascii"))
    name = "isthmus_administrator"
    url = server.database_urls["owner"].replace(passwords["isthmus_owner"], passwords[name])
    return with_database(url.replace("isthmus_owner", name), "postgres")


def rights(url: str, table: str) -> set[str]:
    """Return the rights on a table, as PostgreSQL reports them on this connection."""
    names = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    with psycopg.connect(url) as connection:
        asked = sql.SQL("SELECT name FROM unnest(%s::text[]) AS name WHERE has_table_privilege(%s, name)")
        return {name for (name,) in connection.execute(asked, [names, table])}
