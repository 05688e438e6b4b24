"""Started as root, servers and jobs run as an unprivileged system user; this module is that step down.

Not started as root, every function here leaves things as they are: `user` is None and the caller's own account is used.
Nothing of Django is imported. Linux only: `setpriv` is part of util-linux.
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

LIBRARY = Path("/var/lib/isthmus")  # root's own home is closed to others, and this is where a service's state belongs


User = pwd.struct_passwd | None  # None: our own account


class CannotStart(Exception):
    """A service cannot be started here. The text is one sentence that says what to do."""


def system_user() -> User:
    """Whom to become: None unless we are root, else ISTHMUS_SYSTEM_USER (default `isthmus`), created when absent."""
    if os.geteuid() != 0:
        return None
    name = os.environ.get("ISTHMUS_SYSTEM_USER", "isthmus")
    user = _lookup(name) or _create(name)
    if user.pw_uid == 0:
        raise CannotStart(f"ISTHMUS_SYSTEM_USER names {name!r}, which is root: name an unprivileged user.")
    return user


def command(argv: list[str], user: User, *, on_parent_death: signal.Signals | None) -> list[str]:
    """`argv` run as `user`, and sent a signal when the thread that started it dies, however it dies.

    That thread should be the main one: the kernel watches the thread, not the process.
    """
    prefix = ["setpriv"]
    if on_parent_death:
        prefix += ["--pdeathsig", on_parent_death.name.removeprefix("SIG")]
    if user:
        prefix += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--no-new-privs"]
    return [*prefix, "--", *argv] if len(prefix) > 1 else argv


def reachable(path: Path, user: User) -> bool:
    """Whether `user` can enter the folder, or execute the file. Asked of the kernel, so ACLs and mounts count too."""
    probe = command(["test", "-x", str(path)], user, on_parent_death=None)
    return subprocess.run(probe, check=False, cwd="/").returncode == 0


def reachable_folder(folder: Path, user: User) -> Path:
    """`folder`, ours and closed to others; if `user` cannot get there, a folder under /var/lib/isthmus in its stead.

    It stays root's: what `user` may write lies in `private_folder`s inside, so that root follows none of its links.
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
    """`folder`, which only `user` may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return folder


def published(root: Path, executable: str, *, parts: tuple[str, ...], name: str, user: User) -> Path:
    """`root/executable`, or, when `user` cannot reach it, its copy in /var/lib/isthmus/bin/`name`.

    `parts` are the folders under `root` that it needs. The copy can be written by root alone; `name` carries the
    version, so that a copy is made once and never changed.
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
                path.chmod(0o755)  # an installation under umask 077 is closed to everybody else
            _put(fresh, copy)
    return copy / executable


def _lookup(name: str) -> User:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create(name: str) -> pwd.struct_passwd:
    # A home that is there, since login shells and jobs start in it, and that is not theirs to write to.
    home = _library_folder(mode=0o755)
    argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(home)]
    argv += ["--shell", "/usr/sbin/nologin", name]
    try:
        made = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        reason = "useradd is not installed"
    else:
        reason = made.stderr.strip()
    if user := _lookup(name):  # ours, or one that another start created in the same moment
        return user
    raise CannotStart(
        f"Cannot create the system user {name!r} ({reason}): create it, or name another with ISTHMUS_SYSTEM_USER."
    )


def _put(fresh: Path, place: Path) -> None:
    try:
        fresh.rename(place)
    except OSError:  # another start has just put the same there
        if not place.exists():
            raise


def _library_folder(*parts: str, mode: int) -> Path:
    """A folder under /var/lib/isthmus, or that itself; those above it are open to all."""
    folder = LIBRARY.joinpath(*parts)
    for place in (LIBRARY, *reversed(folder.relative_to(LIBRARY).parents), folder):
        (LIBRARY / place).mkdir(parents=True, exist_ok=True)
        (LIBRARY / place).chmod(mode if LIBRARY / place == folder else 0o755)
    return folder
