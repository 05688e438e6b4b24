"""Runs a rendered workload as a site would: staged in an attempt folder, as an unprivileged user, by a real shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sites.script import Runtime, RuntimeKind, render
from sites.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sites.workload import Container, Volume

KEY = "0123456789abcdef"
NOBODY = 65534

IMAGE = "busybox:1.36"
HOST = Runtime(RuntimeKind.HOST, grace=1)


class Attempt:
    """One attempt folder. `base` is the folder of that name in docs/attempt-folder.md."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / KEY

    def stage(
        self,
        *containers: Container,
        init: Sequence[Container] = (),
        volumes: Sequence[Volume] = (),
        runtime: Runtime = HOST,
    ) -> Attempt:
        workload = Workload(
            KEY, str(self.folder), "research/a-pod", containers, init_containers=tuple(init), volumes=tuple(volumes)
        )
        staged = render(workload, runtime)
        for directory in staged.directories:
            (self.folder / directory).mkdir(parents=True, exist_ok=True)
        for file in staged.files:
            path = os.fsencode(self.folder) + b"/" + file.path.encode()
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - names of any bytes
            with open(path, "wb") as out:  # noqa: PTH123
                out.write(file.content)
            os.chmod(path, file.mode)  # noqa: PTH101
        self._give_away()
        return self

    def _give_away(self) -> None:
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.base], check=True)

    def command(self) -> list[str]:
        """Return the command that runs the batch script as a site's account; never as root."""
        user = (
            [shutil.which("setpriv") or "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            if os.geteuid() == 0
            else []
        )
        return [*user, str(self.folder / "script")]

    def start(self, native: str = "7", **env: str) -> subprocess.Popen[bytes]:
        environment = {"ISTHMUS_NATIVE_ID": native, "HOME": str(self.base), "PATH": "/usr/bin:/bin", **env}
        return subprocess.Popen(
            self.command(), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def run(self, native: str = "7", **env: str) -> int:
        """Run the script and return its exit code."""
        with self.start(native, **env) as process:
            process.communicate(timeout=30)
        return process.returncode

    def read(self, name: str, restart: int = 0) -> bytes:
        """Return the content of one of the run's files, such as `main.log`."""
        return (self.folder / "run" / str(restart) / name).read_bytes()

    def names(self, restart: int = 0) -> set[str]:
        return {path.name for path in (self.folder / "run" / str(restart)).iterdir()}

    def exit_code(self, container: str, restart: int = 0) -> int:
        return int(self.read(f"{container}.ended", restart).split()[1])

    def ended_at(self, container: str) -> int:
        return int(self.read(f"{container}.ended").split()[0])

    def started_at(self, container: str) -> int:
        return int(self.read(f"{container}.started"))

    def index(self, container: str) -> list[tuple[int, int]]:
        lines = self.read(f"{container}.index").decode().splitlines()
        return [(int(second), int(size)) for second, size in (line.split() for line in lines)]

    def events(self) -> list[str]:
        return sorted(path.name for path in (self.base / "events").iterdir())


@contextmanager
def new_attempt() -> Iterator[Attempt]:
    """Return a new attempt in a folder that the unprivileged user can reach; pytest's own folders are closed to it."""
    base = Path(tempfile.mkdtemp(prefix="isthmus-attempt-"))
    (base / "events").mkdir()
    try:
        yield Attempt(base)
    finally:
        shutil.rmtree(base)


def link_programs(folder: Path, *names: str) -> Path:
    """Make `folder` the PATH of a host that has only these programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(Path("/usr/bin") / name)
    return folder
