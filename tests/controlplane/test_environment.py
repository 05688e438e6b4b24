from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from controlplane import environment

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_required_setting_stops_the_start_and_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="Set NO_SUCH_SETTING"):
        environment.string("NO_SUCH_SETTING")


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("SOME_SECRET_FILE", str(tmp_path / "secret"))
    assert environment.string("SOME_SECRET") == "from a file"


@pytest.mark.parametrize("bad", ["", "-1", "1.5", "ten", "\u0661"])
def test_an_invalid_number_is_refused(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("SOME_NUMBER", bad)
    with pytest.raises(ImproperlyConfigured, match="SOME_NUMBER must be a whole number"):
        environment.number("SOME_NUMBER", default=1)


@pytest.mark.parametrize("bad", ["", "-1", "nan", "inf", "soon"])
def test_an_invalid_duration_is_refused(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("SOME_TIME", bad)
    with pytest.raises(ImproperlyConfigured, match="SOME_TIME must be a number of seconds"):
        environment.seconds("SOME_TIME", default=1)


def test_tokens_cannot_be_remembered_longer_than_a_revocation_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TIME", "5.1")
    with pytest.raises(ImproperlyConfigured, match="SOME_TIME must be no more than 5 seconds"):
        environment.seconds("SOME_TIME", default=5, most=5)
    source = (settings.BASE_DIR / "controlplane" / "settings.py").read_text(encoding="utf-8")
    assert 'TOKEN_MEMORY = seconds("ISTHMUS_TOKEN_MEMORY", default=5, most=5)' in source
    assert 'FOREIGN_TOKEN_MEMORY = seconds("ISTHMUS_FOREIGN_TOKEN_MEMORY", default=60, most=60)' in source


def test_a_flag_says_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_FLAG", "Yes")
    assert environment.boolean("SOME_FLAG", default=False) is True
    monkeypatch.setenv("SOME_FLAG", "perhaps")
    with pytest.raises(ImproperlyConfigured, match="true or false"):
        environment.boolean("SOME_FLAG", default=False)


def test_an_empty_list_of_keys_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEYS", " , ")
    with pytest.raises(ImproperlyConfigured, match="must not be empty"):
        environment.items("SOME_KEYS", secret=True)


def test_each_role_has_its_own_database_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner:o@db:5433/isthmus")
    monkeypatch.setenv("DATABASE_WEB_URL", "postgresql://web:p%40ss@/isthmus?host=/run/pg")
    monkeypatch.delenv("DATABASE_WORKER_URL")
    monkeypatch.setenv("ISTHMUS_DATABASE_ROLE", "web")
    web = environment.database(pool_max=3)
    assert (web["USER"], web["PASSWORD"], web["HOST"], web["NAME"]) == ("web", "p@ss", "/run/pg", "isthmus")
    monkeypatch.setenv("ISTHMUS_DATABASE_ROLE", "worker")
    worker = environment.database(pool_max=3)
    assert (worker["USER"], worker["HOST"], worker["PORT"]) == ("owner", "db", "5433")


def test_another_database_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_OWNER_URL", "sqlite:///here.db")
    with pytest.raises(ImproperlyConfigured, match="no other database"):
        environment.database(pool_max=3)
