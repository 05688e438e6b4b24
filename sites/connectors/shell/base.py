"""Runs a small shell program at a site: bytes in, bytes out, with bounds on time and size.

Programs travel in stdin, never in an argument list, so that the site's process table does not show them. A random
marker separates a program's output from what a login shell prints before it (a banner, a .bashrc).
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from sites.connectors.base import Unreachable

DEFAULT_OUTPUT_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class Completed:
    """The result of a program: its exit code (negative: the signal that killed it) and its output."""

    exit: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)

    @property
    def complaint(self) -> str:
        """The end of stderr, as one line for people."""
        return " ".join(self.stderr.decode(errors="replace").split())[-500:].rstrip(".")


class Shell(ABC):
    """A POSIX shell at a site. Threads share an instance. name: where it is, for sentences."""

    name: str

    def run(self, program: str, stdin: bytes = b"", *, timeout: float, account: str = "") -> Completed:
        """Run a program with `sh`, as a local account (empty: the site's own), in the account's home.

        Raises `Unreachable` if no complete answer comes within `timeout` seconds, and `Rejected` if the account can
        never be used. A program that fails is an answer: the caller checks its exit code.
        """
        marker = f"isthmus-{secrets.token_hex(12)}"
        # In braces: if the end of the program does not arrive, it is a syntax error and no part of it runs.
        text = f"{{\nprintf '\\n%s\\n' {marker}; printf '\\n%s\\n' {marker} >&2\n{program}\n}}\n".encode()
        # head, because an sh that reads its program from stdin may read more than the program.
        loader = f'eval "$(head -c {len(text)})"'
        raw = self._exchange(loader, text + stdin, timeout, account)
        line = f"\n{marker}\n".encode()
        noise, found, answer = raw.stdout.partition(line)
        if not found:
            last = " ".join((raw.stderr or noise).decode(errors="replace").split())[-200:].rstrip(".")
            raise Unreachable(f"The login shell at {self.name} did not run our program; it said: {last or 'nothing'}.")
        return Completed(raw.exit, answer, raw.stderr.rpartition(line)[2])

    @abstractmethod
    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        """Run `sh -c loader` at the site with this stdin. Raises `Unreachable` and `Rejected` as `run` does."""

    def close(self) -> None:  # noqa: B027  (most shells hold no connection)
        """Close connections."""
