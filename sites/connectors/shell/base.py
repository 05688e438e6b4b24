"""Running a small shell program at a site, on this host or elsewhere: bytes in, bytes out, always bounded.

Programs travel in stdin, never in an argument list, so that nothing of them is seen in the site's process table. What a
login shell prints by itself (banners, a chatty .bashrc) is cut off by a random marker.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from sites.connectors.base import Unreachable

DEFAULT_OUTPUT_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class Completed:
    """How a program ended: its exit code (negative: the signal that killed it) and what it wrote."""

    exit: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)

    @property
    def complaint(self) -> str:
        """The end of stderr as one line for people."""
        return " ".join(self.stderr.decode(errors="replace").split())[-500:].rstrip(".")


class Shell(ABC):
    """A POSIX shell at a site. Instances are shared by threads. `name` says in sentences where it is."""

    name: str

    def run(self, program: str, stdin: bytes = b"", *, timeout: float, account: str = "") -> Completed:
        """Run a program with `sh`, as a local account (empty: the site's own), starting in its home.

        Raises `Unreachable` when there is no answer within `timeout` seconds or none that is whole, and `Rejected`
        when the account can never be used. A program that fails is an answer: look at its exit code.
        """
        marker = f"isthmus-{secrets.token_hex(12)}"
        # In braces, so that a program whose end did not arrive is a syntax error and nothing of it runs.
        text = f"{{\nprintf '\\n%s\\n' {marker}; printf '\\n%s\\n' {marker} >&2\n{program}\n}}\n".encode()
        # head, since sh reading its program from stdin may take more than the program.
        loader = f'eval "$(head -c {len(text)})"'
        raw = self._exchange(loader, text + stdin, timeout, account)
        line = f"\n{marker}\n".encode()
        noise, found, answer = raw.stdout.partition(line)
        if not found:
            said = " ".join((raw.stderr or noise).decode(errors="replace").split())[-200:].rstrip(".")
            raise Unreachable(f"The login shell at {self.name} did not run our program; it said: {said or 'nothing'}.")
        return Completed(raw.exit, answer, raw.stderr.rpartition(line)[2])

    @abstractmethod
    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        """Run `sh -c loader` there with this stdin."""

    def close(self) -> None:  # noqa: B027  (most shells hold nothing)
        """Let go of connections."""
