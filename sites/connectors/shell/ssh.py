"""Runs programs at a site over SSH: one connection for each user, one channel for each program, pinned host keys."""

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
#: Seconds to wait before each new attempt to open a session that the site refused.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
# A sentence that tells the reader of the pod's status what to do, instead of the exception's text.
CHANGED = (
    "The host key of {} has changed: nothing was sent. Tell the site's operator, and pin the new key if it is theirs."
)


class SshShell(Shell):
    """A shell at a site, over SSH. The first call opens the connection; after a loss, the next call opens it again."""

    def __init__(self, settings: SshSettings, secret: str, output_limit: int = DEFAULT_OUTPUT_LIMIT) -> None:
        self.name = settings.host
        self._settings = settings
        self._keys = client_keys(secret)
        self._output_limit = output_limit
        self._links: dict[tuple[int, str], _Link] = {}

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        user = account or self._settings.user
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", user):
            raise Rejected(f"{user!r} is not the name of an account at {self.name}.", reason="AccountRefused")
        # `timeout` ends the program at the site if the connection is lost; `exec` is understood by csh and fish too.
        command = f"exec timeout -k 5 {timeout + 10:.0f} /bin/sh -c '{loader}'"
        try:
            return wait_for(self._link(user).exchange(command, stdin, timeout), timeout + 5)
        except TimeoutError as late:
            raise Unreachable(f"{self.name} gave no answer within {timeout:.0f} seconds.") from late
        except (asyncssh.Error, OSError) as wrong:
            raise Unreachable(failure_in_words(wrong, self.name, user)) from wrong

    def _link(self, user: str) -> _Link:
        # The process is part of the key: a forked child must not use its parent's connections.
        return self._links.setdefault((os.getpid(), user), _Link(self._settings, user, self._keys, self._output_limit))

    def close(self) -> None:
        for (process, _), link in list(self._links.items()):
            if process == os.getpid():
                wait_for(link.close(), 10)
        self._links.clear()


class _Link:
    """One user's connection. Only the loop's thread uses it."""

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
                # However our wait ended, end the command too: otherwise it would keep one of the site's MaxSessions.
                if channel.get_returncode() is None:
                    with suppress(OSError):  # the channel is gone already
                        channel.terminate()
                channel.abort()

    async def _open(self, command: str) -> tuple[Any, _Answer]:
        """Open a channel that runs the command. A site counts a closed channel for a moment longer than we do."""
        for pause in _PAUSES:
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
            await asyncio.sleep(0)  # asyncssh marks a lost connection as closed one turn of the loop later
            if not connection.is_closed():
                raise
        # The connection was lost earlier, unnoticed. Our program was not sent yet, so a second attempt is safe.
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
                # Only the operator's settings: no ~/.ssh/config, no agent, no other way to log in.
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
    """Collects the output of one command, and its exit code."""

    def __init__(self, limit: int) -> None:
        self.completed: asyncio.Future[Completed] = asyncio.get_running_loop().create_future()
        # Nobody awaits a session that was cut while it opened; without this, asyncio would log an error.
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
    """Return a sentence for people about an error of the connection."""
    match wrong:
        case asyncssh.HostKeyNotVerifiable():
            return CHANGED.format(host)
        case asyncssh.PermissionDenied():
            return f"{host} does not accept our key for {user}: its operator must allow it."
        case TimeoutError():
            return f"{host} does not answer: the connection timed out."
        case asyncssh.ChannelOpenError():
            return f"{host} refuses another session on our connection: lower the site's setting `ssh.sessions`."
        case asyncssh.Error():
            return f"The connection to {host} failed: {wrong.reason.rstrip('.')}."
        case OSError(errno=int(number)):
            return f"{host} cannot be reached: {os.strerror(number)}."
        case _:
            return f"{host} cannot be reached: {wrong}."
