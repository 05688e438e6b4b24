"""Running programs at a site over SSH: one kept connection a user, a channel a program, host keys pinned."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncssh

from sites.connectors.base import Rejected, Unreachable
from sites.connectors.shell.base import DEFAULT_OUTPUT_LIMIT, Completed, Shell
from sites.connectors.shell.event_loop import wait_for
from sites.connectors.shell.ssh_settings import SshSettings, client_keys

if TYPE_CHECKING:
    from typing import Any

PIECE = 256 * 1024
#: Pauses in seconds, after each of which a refused session is asked for again.
_UNTIL_COUNTED = (0.05, 0.1, 0.2, 0.4, 0.8)
# What a person who reads the pod's status can do something about, instead of an exception's own words.
CHANGED = (
    "The host key of {} has changed: nothing was sent. Tell the site's operator, and pin the new key if it is theirs."
)


class SshShell(Shell):
    """A site behind SSH. Connections are made when first needed, and again by the next call after they were lost."""

    def __init__(self, settings: SshSettings, secret: str, output_limit: int = DEFAULT_OUTPUT_LIMIT) -> None:
        self.name = settings.host
        self._settings = settings
        self._keys = client_keys(secret)
        self._output_limit = output_limit
        self._lines: dict[tuple[int, str], _Line] = {}

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        user = account or self._settings.user
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", user):
            raise Rejected(f"{user!r} is not the name of an account at {self.name}.", reason="AccountRefused")
        # The site ends it too, should we be cut off; `exec` because csh and fish must understand this line as well.
        command = f"exec timeout -k 5 {timeout + 10:.0f} /bin/sh -c '{loader}'"
        try:
            return wait_for(self._line(user).exchange(command, stdin, timeout), timeout + 5)
        except TimeoutError as late:
            raise Unreachable(f"{self.name} gave no answer within {timeout:.0f} seconds.") from late
        except (asyncssh.Error, OSError) as wrong:
            raise Unreachable(failure_in_words(wrong, self.name, user)) from wrong

    def _line(self, user: str) -> _Line:
        # By process: a fork must not use its parent's connections.
        return self._lines.setdefault((os.getpid(), user), _Line(self._settings, user, self._keys, self._output_limit))

    def close(self) -> None:
        for (process, _), line in list(self._lines.items()):
            if process == os.getpid():
                wait_for(line.close(), 10)
        self._lines.clear()


class _Line:
    """One user's connection. Lives in the loop's thread: no other touches it."""

    def __init__(self, settings: SshSettings, user: str, keys: Any, output_limit: int) -> None:
        self._settings = settings
        self._user = user
        self._keys = keys
        self._output_limit = output_limit
        self._connection: asyncssh.SSHClientConnection | None = None
        self._jump: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._free = asyncio.Semaphore(settings.sessions)

    async def exchange(self, command: str, stdin: bytes, timeout: float) -> Completed:
        async with asyncio.timeout(timeout), self._free:
            channel, answer = await self._open(command)
            try:
                for start in range(0, len(stdin), PIECE):
                    channel.write(stdin[start : start + PIECE])
                channel.write_eof()
                return await answer.completed
            finally:
                # Whatever ended our waiting ends the command; one left behind would hold one of the site's MaxSessions.
                if channel.get_returncode() is None:
                    with suppress(OSError):  # the channel is gone already
                        channel.terminate()
                channel.abort()

    async def _open(self, command: str) -> tuple[Any, _Answer]:
        """A channel with the program on it. A site counts one that we have closed for a moment longer than we do."""
        for pause in _UNTIL_COUNTED:
            try:
                return await self._open_or_reconnect(command)
            except asyncssh.ChannelOpenError:
                await asyncio.sleep(pause)
        return await self._open_or_reconnect(command)

    async def _open_or_reconnect(self, command: str) -> tuple[Any, _Answer]:
        connection = await self._connected()
        try:
            return await self._open_on(connection, command)
        except (asyncssh.ConnectionLost, asyncssh.ChannelOpenError, ConnectionError):
            await asyncio.sleep(0)  # asyncssh calls a connection closed one turn of the loop after it has lost it
            if not connection.is_closed():
                raise
        # It had died unnoticed. Our program was not sent yet, so that asking again cannot do anything twice.
        return await self._open_on(await self._connected(), command)

    async def _open_on(self, connection: asyncssh.SSHClientConnection, command: str) -> tuple[Any, _Answer]:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                answer = _Answer(self._output_limit)
                channel, _ = await connection.create_session(lambda: answer, command, encoding=None)
                return channel, answer
        except TimeoutError:
            connection.abort()
            raise asyncssh.ConnectionLost("a kept connection no longer answers") from None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                await self._drop()
                if self._settings.proxy_jump:
                    jump = self._settings.proxy_jump
                    self._jump = await self._connect(jump, jump.user, None)
                self._connection = await self._connect(self._settings, self._user, self._jump)
            return self._connection

    async def _connect(
        self, hop: SshSettings, user: str, tunnel: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        try:
            return await asyncssh.connect(
                hop.host,
                hop.port,
                tunnel=tunnel,
                username=user,
                client_keys=self._keys,
                known_hosts=hop.host_key.encode(),
                # Only what the operator set: no ~/.ssh/config, no agent, no other way to log in.
                config=None,
                agent_path=None,
                gss_host=None,
                preferred_auth="publickey",
                connect_timeout=hop.connect_timeout,
                login_timeout=hop.connect_timeout,
                keepalive_interval=hop.keepalive,
                keepalive_count_max=3,
                compression_algs=None,
            )
        except (asyncssh.Error, OSError) as wrong:
            raise Unreachable(failure_in_words(wrong, hop.host, user)) from wrong

    async def _drop(self) -> None:
        for connection in (self._connection, self._jump):
            if connection:
                connection.abort()
        self._connection = self._jump = None

    async def close(self) -> None:
        await self._drop()


class _Answer(asyncssh.SSHClientSession[bytes]):
    """What one command writes, and how it ends."""

    def __init__(self, limit: int) -> None:
        self.completed: asyncio.Future[Completed] = asyncio.get_running_loop().create_future()
        # Nobody asks after a session that was cut while it opened; asyncio would log that as an error of ours.
        self.completed.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._limit = limit
        self._written: dict[int | None, bytearray] = {None: bytearray(), asyncssh.EXTENDED_DATA_STDERR: bytearray()}

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._written[datatype] += data
        if sum(map(len, self._written.values())) > self._limit:
            self._fail(Unreachable(f"A command at the site answered more than {self._limit} bytes."))

    def connection_lost(self, exc: Exception | None) -> None:
        code = self._channel.get_returncode()
        if code is None:
            self._fail(exc or asyncssh.ConnectionLost("the connection was cut while a command ran"))
        elif not self.completed.done():
            written = [bytes(part) for part in self._written.values()]
            self.completed.set_result(Completed(code, *written))

    def _fail(self, reason: Exception) -> None:
        if not self.completed.done():
            self.completed.set_exception(reason)


def failure_in_words(wrong: Exception, host: str, user: str) -> str:
    """What went wrong, for people."""
    match wrong:
        case asyncssh.HostKeyNotVerifiable():
            return CHANGED.format(host)
        case asyncssh.PermissionDenied():
            return f"{host} does not accept our key for {user}: its operator must allow it."
        case TimeoutError():
            return f"{host} does not answer to a connection."
        case asyncssh.ChannelOpenError():
            return f"{host} refuses another session on our connection: lower the site's setting `ssh.sessions`."
        case asyncssh.Error():
            return f"The connection to {host} failed: {wrong.reason.rstrip('.')}."
        case OSError(errno=int(number)):
            return f"{host} cannot be reached: {os.strerror(number)}."
        case _:
            return f"{host} cannot be reached: {wrong}."
