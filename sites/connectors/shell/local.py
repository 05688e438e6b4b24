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


class LocalShell(Shell):
    """This host. Started as root it needs an unprivileged `user` to run things as; otherwise it runs them as itself."""

    def __init__(self, user: str = "", output_limit: int = DEFAULT_OUTPUT_LIMIT) -> None:
        self.name = "this host"
        self._user = user
        self._output_limit = output_limit
        self._identity(user)

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        user = self._identity(account or self._user)
        deadline = time.monotonic() + timeout
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", loader],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(user),
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
                # Not yet waited for, so the number is still this program's and nobody else's.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise

    def _pump(self, process: subprocess.Popen[bytes], stdin: bytes, deadline: float) -> Completed:
        """Feed and drain the three pipes at once, within the deadline and the cap."""
        answers: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        with selectors.DefaultSelector() as ready:
            _watch(ready, process)
            unsent = memoryview(stdin)
            while ready.get_map():
                events = ready.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise Unreachable("A command on this host gave no answer in time and was ended.")
                for key, _ in events:
                    if key.data == "stdin":
                        unsent = _send(ready, key.fileobj, unsent)  # type: ignore[arg-type]  # what _watch registered
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
        """The system user to run as. Never root, whoever we are: what runs there was written by others."""
        is_root = os.geteuid() == 0
        try:
            user = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
        except KeyError as unknown:
            missing = f"There is no user {name or os.geteuid()!r} on this host: create it, or choose another."
            raise BadConfig(missing) from unknown
        if user.pw_uid == 0:
            raise BadConfig("Jobs never run as root: set the site's `user` to an unprivileged user of this host.")
        if not is_root and user.pw_uid != os.geteuid():
            message = f"Only a service started as root can run jobs as {name} on this host."
            raise Rejected(message, reason="AccountRefused")
        return user


def _environment(user: pwd.struct_passwd) -> dict[str, str]:
    """Nothing of ours: our environment holds credentials."""
    names = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    return {"PATH": SYSTEM_PATH, "SHELL": "/bin/sh", "LC_ALL": "C", **names}


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _switch_to(user: pwd.struct_passwd) -> _Identity:
    if os.geteuid() != 0:
        return {}
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _watch(ready: selectors.DefaultSelector, process: subprocess.Popen[bytes]) -> None:
    pipes = (("stdin", selectors.EVENT_WRITE), ("stdout", selectors.EVENT_READ), ("stderr", selectors.EVENT_READ))
    for name, event in pipes:
        pipe: IO[bytes] = getattr(process, name)
        os.set_blocking(pipe.fileno(), False)
        ready.register(pipe, event, name)


def _send(ready: selectors.DefaultSelector, pipe: IO[bytes], unsent: memoryview) -> memoryview:
    try:
        unsent = unsent[os.write(pipe.fileno(), unsent) :]
    except BrokenPipeError:
        unsent = unsent[:0]  # it ended without reading all: its exit code says why
    if not unsent:
        ready.unregister(pipe)
        pipe.close()
    return unsent


def _receive(ready: selectors.DefaultSelector, pipe: IO[bytes], answer: bytearray) -> None:
    piece = os.read(pipe.fileno(), 65536)
    answer += piece
    if not piece:
        ready.unregister(pipe)
