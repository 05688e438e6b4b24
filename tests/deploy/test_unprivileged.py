"""Dropping root, and which binaries the unprivileged user can run."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from deploy import embedded
from deploy.embedded.postgres_binaries import choose_binaries
from deploy.embedded.unprivileged import published, reachable, system_user

if TYPE_CHECKING:
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its rights")


def test_an_old_postgresql_is_refused_by_its_version(folder: Path) -> None:
    for name in ("postgres", "initdb"):
        (folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.4'\n", encoding="ascii")
        (folder / name).chmod(0o755)
    with pytest.raises(embedded.CannotStart, match=r"PostgreSQL 13 is too old: .* install PostgreSQL 14 or newer"):
        choose_binaries(folder / "data", system_user(), [folder / "nowhere", folder])


def test_data_of_another_major_version_is_left_alone(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n", encoding="ascii")
    for name in ("postgres", "initdb"):
        (folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 16.1'\n", encoding="ascii")
        (folder / name).chmod(0o755)
    with pytest.raises(embedded.CannotStart, match="written by PostgreSQL 17, and only 16 is here"):
        choose_binaries(data, system_user(), [folder])


@as_root
def test_unreachable_binaries_are_copied_once_and_stay_owned_by_root(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.embedded.unprivileged.LIBRARY", folder / "library")
    wheel = folder / "closed" / "wheel"
    (wheel / "bin").mkdir(parents=True, mode=0o700)
    (folder / "closed").chmod(0o700)
    shutil.copy("/bin/true", wheel / "bin" / "server")
    (wheel / "bin" / "server").chmod(0o700)
    user = system_user()
    copies = {published(wheel, "bin/server", parts=("bin",), name="server-1", user=user) for _ in range(2)}
    assert copies == {folder / "library" / "bin" / "server-1" / "bin" / "server"}
    (copy,) = copies
    assert reachable(copy, user)
    assert (copy.stat().st_uid, copy.stat().st_mode & 0o777) == (0, 0o755)
    assert [path.name for path in (folder / "library" / "bin").iterdir()] == ["server-1"]


@as_root
def test_root_is_refused_as_the_unprivileged_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_SYSTEM_USER", "root")
    with pytest.raises(embedded.CannotStart, match="name an unprivileged user"):
        system_user()
