"""One server as a child process that never outlives its purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.embedded.unprivileged import CannotStart, User, command

if TYPE_CHECKING:
    from collections.abc import Callable

START_WITHIN = 60.0  # seconds; a cold disk under a busy test run is slow, a server that exits is noticed at once
STOP_WITHIN = 20.0
# Nothing of the caller's environment: PGPORT, PGDATA, LD_LIBRARY_PATH and the like would change what is started.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}


@dataclass
class Server:
    """How to start a server, and the process once it is started. After `stop` or `kill` it can be started again."""

    name: str
    argv: list[str]
    home: Path  # its working folder, by which a process left behind is told from one that reused its number
    pid_file: Path
    log: Path
    stop_signal: signal.Signals
    answers: Callable[[], bool]
    user: User
    standard_input: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The process's number; an error when it is not running."""
        if self._process is None:
            raise CannotStart(f"{self.name} is not running.")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it answers. A predecessor whose parent was killed is ended first."""
        self._end_leftover()
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log, tempfile.TemporaryFile() as standard_input:
            standard_input.write(self.standard_input.encode())
            standard_input.seek(0)
            self._process = subprocess.Popen(
                command(self.argv, self.user, on_parent_death=self.stop_signal),
                stdin=standard_input,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for the parent, which stops us in its own order
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop in good order; no error when it is not running."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(0.02)
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = lines[-1] if lines else "nothing"
        raise CannotStart(f"{self.name} did not start. The last it said, in {self.log}, is: {last}")

    def _end_leftover(self) -> None:
        pid = self._leftover()
        deadline = time.monotonic() + STOP_WITHIN
        while pid and self._leftover() == pid:
            late = time.monotonic() > deadline
            try:
                os.kill(pid, signal.SIGKILL if late else self.stop_signal)
            except ProcessLookupError:
                break
            time.sleep(0.1)
        self.pid_file.unlink(missing_ok=True)  # its number may belong to somebody else by now

    def _leftover(self) -> int | None:
        """The process of the pid file, if it is really ours: a server's working folder is its own home."""
        try:
            pid = int(self.pid_file.read_text(encoding="utf-8").split()[0])
            cwd = Path(f"/proc/{pid}/cwd").readlink()
        except (OSError, ValueError, IndexError):
            return None
        return pid if cwd == self.home else None
