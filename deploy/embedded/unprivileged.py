"""If Isthmus starts as root, servers and jobs run as an unprivileged system user. This module makes that step.

If it does not start as root, `user` is None everywhere, and every function keeps the caller's own account. This module
does not import Django. It needs Linux: `setpriv` is part of util-linux.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

LIBRARY = Path("/var/lib/isthmus")  # the standard place for a service's state; other users cannot enter root's home


User = pwd.struct_passwd | None  # None: our own account


class CannotStart(Exception):
    """A service cannot start here. The text is one sentence that says what to do."""


def system_user() -> User:
    """Return None unless we are root, else the user ISTHMUS_SYSTEM_USER (default `isthmus`), created if missing.

    Raises CannotStart if that user is root or cannot be created.
    """
    if os.geteuid() != 0:
        return None
    name = os.environ.get("ISTHMUS_SYSTEM_USER", "isthmus")
    user = _lookup(name) or _create(name)
    if user.pw_uid == 0:
        raise CannotStart(f"The user {name!r} in ISTHMUS_SYSTEM_USER is root: name an unprivileged user.")
    return user


def command(argv: list[str], user: User, *, on_parent_death: signal.Signals | None) -> list[str]:
    """Return a command line that runs `argv` as `user`.

    on_parent_death: the signal that it gets when its parent thread ends. The parent should be the main thread: the
    kernel watches the thread, not the process.
    """
    prefix = ["setpriv"]
    if on_parent_death:
        prefix += ["--pdeathsig", on_parent_death.name.removeprefix("SIG")]
    if user:
        prefix += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--no-new-privs"]
    return [*prefix, "--", *argv] if len(prefix) > 1 else argv


def reachable(path: Path, user: User) -> bool:
    """Whether `user` can enter the folder or execute the file. The kernel decides, so ACLs and mounts count too."""
    probe = command(["test", "-x", str(path)], user, on_parent_death=None)
    return subprocess.run(probe, check=False, cwd="/").returncode == 0


def reachable_folder(folder: Path, user: User) -> Path:
    """Create `folder`, owned by us and closed to others, or, if `user` cannot reach it, a folder in /var/lib/isthmus.

    Root keeps owning it. `user` writes only into `private_folder`s inside it, so root never follows one of its links.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None:
        return folder
    folder.chmod(0o711)
    if reachable(folder, user):
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return _library_folder("data", f"{folder.name}-{digest}", mode=0o711)


def private_folder(folder: Path, user: User) -> Path:
    """Create `folder`, which only `user` may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return folder


def published(root: Path, executable: str, *, parts: tuple[str, ...], name: str, user: User) -> Path:
    """Return `root/executable`, or, if `user` cannot reach it, its copy in /var/lib/isthmus/bin/`name`.

    parts: the folders under `root` that the executable needs. name: contains the version, so a copy is made once and
    never changes. Only root can write to the copy.
    """
    if reachable(root / executable, user):
        return root / executable
    copy = _library_folder("bin", mode=0o755) / name
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".copying-") as scratch:
            fresh = Path(scratch) / name
            for part in parts:
                shutil.copytree(root / part, fresh / part)
            for path in (fresh, *fresh.rglob("*")):
                path.chmod(0o755)  # after an installation with umask 077, only root could read it
            try:
                fresh.rename(copy)
            except OSError:
                if not copy.exists():  # if it exists, another start has just made the same copy
                    raise
    return copy / executable


def _lookup(name: str) -> User:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create(name: str) -> pwd.struct_passwd:
    # Its home must exist, because login shells and jobs start there, but the user cannot write to it.
    home = _library_folder(mode=0o755)
    argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(home)]
    argv += ["--shell", "/usr/sbin/nologin", name]
    try:
        made = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        reason = "useradd is not installed"
    else:
        reason = made.stderr.strip()
    if user := _lookup(name):  # created by us, or by another start at the same moment
        return user
    raise CannotStart(
        f"Cannot create the system user {name!r} ({reason}): create it, or name another with ISTHMUS_SYSTEM_USER."
    )


def _library_folder(*parts: str, mode: int) -> Path:
    """Create /var/lib/isthmus or a folder in it, with this mode. Everybody may enter the folders above it."""
    folder = LIBRARY.joinpath(*parts)
    for place in (LIBRARY, *reversed(folder.relative_to(LIBRARY).parents), folder):
        (LIBRARY / place).mkdir(parents=True, exist_ok=True)
        (LIBRARY / place).chmod(mode if LIBRARY / place == folder else 0o755)
    return folder
