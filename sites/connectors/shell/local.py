"""A shell on this host, run as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, TypedDict

from sites.connectors.base import Rejected, Unreachable
from sites.connectors.config import BadConfig
from sites.connectors.shell.base import DEFAULT_OUTPUT_LIMIT, Completed, Shell

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
PIPES = {"stdin": selectors.EVENT_WRITE, "stdout": selectors.EVENT_READ, "stderr": selectors.EVENT_READ}


class LocalShell(Shell):
    """A shell on this host. If the service runs as root, it needs an unprivileged `user`; otherwise it runs as itself.

    Raises BadConfig if the user does not exist or is root, and Rejected if only root could become that user.
    """

    def __init__(self, user: str = "", output_limit: int = DEFAULT_OUTPUT_LIMIT) -> None:
        self.name = "this host"
        self._user = user
        self._output_limit = output_limit
        self._identity(user)

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        user = self._identity(account or self._user)
        # Nothing of our own environment, which holds credentials.
        environment = {"PATH": SYSTEM_PATH, "SHELL": "/bin/sh", "LC_ALL": "C"}
        environment |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
        deadline = time.monotonic() + timeout
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", loader],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=user.pw_dir,
                start_new_session=True,
                **_switch_to(user),
            )
        except OSError as wrong:
            raise Unreachable(f"No shell can be started on this host as {user.pw_name}: {wrong.strerror}.") from wrong
        with process:
            try:
                return self._pump(process, stdin, deadline)
            except BaseException:
                # Nobody has waited for the process yet, so its number cannot belong to another process.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise

    def _pump(self, process: subprocess.Popen[bytes], stdin: bytes, deadline: float) -> Completed:
        """Write to and read from the three pipes at once, within the deadline and the limit of output."""
        answers: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        with selectors.DefaultSelector() as ready:
            for name, event in PIPES.items():
                pipe: IO[bytes] = getattr(process, name)
                os.set_blocking(pipe.fileno(), False)
                ready.register(pipe, event, name)
            unsent = memoryview(stdin)
            while ready.get_map():
                events = ready.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise Unreachable("A command on this host gave no answer in time and was ended.")
                for key, _ in events:
                    if key.data == "stdin":
                        unsent = _send(ready, key.fileobj, unsent)  # type: ignore[arg-type]  # a pipe, see above
                    else:
                        _receive(ready, key.fileobj, answers[key.data])  # type: ignore[arg-type]
                if sum(map(len, answers.values())) > self._output_limit:
                    raise Unreachable(f"A command on this host answered more than {self._output_limit} bytes.")
        try:
            code = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as slow:
            raise Unreachable("A command on this host did not end in time and was ended.") from slow
        return Completed(code, bytes(answers["stdout"]), bytes(answers["stderr"]))

    def _identity(self, name: str) -> pwd.struct_passwd:
        """Return the system user to run as. It is never root: other people wrote what runs there."""
        is_root = os.geteuid() == 0
        try:
            user = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
        except KeyError as unknown:
            missing = f"There is no user {name or os.geteuid()!r} on this host: create it, or choose another user."
            raise BadConfig(missing) from unknown
        if user.pw_uid == 0:
            raise BadConfig("Jobs never run as root: set the site's `user` to an unprivileged user of this host.")
        if not is_root and user.pw_uid != os.geteuid():
            message = f"Only a service started as root can run jobs as {name} on this host."
            raise Rejected(message, reason="AccountRefused")
        return user


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _switch_to(user: pwd.struct_passwd) -> _Identity:
    if os.geteuid() != 0:
        return {}
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _send(ready: selectors.DefaultSelector, pipe: IO[bytes], unsent: memoryview) -> memoryview:
    try:
        unsent = unsent[os.write(pipe.fileno(), unsent) :]
    except BrokenPipeError:
        unsent = unsent[:0]  # the program ended before it read all: its exit code says why
    if not unsent:
        ready.unregister(pipe)
        pipe.close()
    return unsent


def _receive(ready: selectors.DefaultSelector, pipe: IO[bytes], answer: bytearray) -> None:
    piece = os.read(pipe.fileno(), 65536)
    answer += piece
    if not piece:
        ready.unregister(pipe)
