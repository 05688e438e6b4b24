"""Runs a server as a child process that ends with its parent."""

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

START_WITHIN = 60.0  # seconds; a cold disk during a test run is slow. A server that exits is noticed at once
STOP_WITHIN = 20.0
# Nothing from the caller's environment: PGPORT, PGDATA, LD_LIBRARY_PATH and the like would change the server.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}


@dataclass
class Server:
    """How to start a server, and its process while it runs. After `stop` or `kill`, `start` works again."""

    name: str
    argv: list[str]
    home: Path  # the working folder, which distinguishes our left-over process from another with the same pid
    pid_file: Path
    log: Path
    stop_signal: signal.Signals
    answers: Callable[[], bool]
    user: User
    standard_input: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The process's pid. Raises CannotStart if the server is not running."""
        if self._process is None:
            raise CannotStart(f"{self.name} is not running.")
        return self._process.pid

    def start(self) -> None:
        """End a left-over server whose parent was killed, start the server, and return when it answers.

        Raises CannotStart, with the last line of the log, if it exits or does not answer within START_WITHIN.
        """
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
                start_new_session=True,  # Ctrl-C reaches only the parent, which stops its servers in order
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the server cleanly. It is not an error if it is not running."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
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
        raise CannotStart(f"{self.name} did not start. The last line of {self.log} is: {last}")

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
        self.pid_file.unlink(missing_ok=True)  # another process may have this pid by now

    def _leftover(self) -> int | None:
        """Return the pid in the pid file if that process is ours: our server's working folder is its home."""
        try:
            pid = int(self.pid_file.read_text(encoding="utf-8").split()[0])
            cwd = Path(f"/proc/{pid}/cwd").readlink()
        except (OSError, ValueError, IndexError):
            return None
        return pid if cwd == self.home else None
