"""The protocol of docs/attempt-folder.md, shared by all connectors that run commands at a site.

Each call is a POSIX shell program (programs/*.sh) between two pure halves: what it is given, and what its answer means.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING

from sites.connectors.base import ABSENT, Absent, Rejected, Unreachable
from sites.connectors.config import is_plain_path
from sites.connectors.shell.programs import read_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sites.connectors.base import LogRequest, Submitted
    from sites.connectors.config import Config
    from sites.connectors.shell.base import Completed, Shell
    from sites.workload import JobRef, Workload

MOST_AT_ONCE = 200
MOST_LOG_BYTES = 32 * 1024 * 1024
KEY = re.compile(r"[0-9a-f]{8,64}\Z")
#: The parent of attempt folders where a site's operator has set no `base`, in the account's home.
DEFAULT_BASE = ".isthmus/jobs"

Given = Mapping[str, object]

_program = partial(read_program, "sites.connectors.folder")


@dataclass(frozen=True)
class StagedBatch:
    """Jobs of one account below one folder, as one stream. tar: all of their files; keys: theirs, in its order."""

    account: str
    parent: str
    keys: tuple[str, ...]
    tar: bytes


@dataclass(frozen=True)
class Launch:
    """What came of one launch. word: `started` (text: the native id), `refused`, `doubt`, `known`, `unlaunched`,
    `unstaged`; code: the launch command's exit code; text: what it said."""

    word: str
    code: int
    text: str


@dataclass(frozen=True)
class Doubt:
    """`submitting` without a native id, for so many seconds by the site's own clock."""

    seconds: int

    @property
    def is_old(self) -> bool:
        """No launch takes so long: it has a time limit of 30 seconds."""
        return self.seconds >= 60


class AttemptFolders:
    """The attempt folders of one site. prelude: shell text put before every program (the scheduler's environment)."""

    def __init__(self, shell: Shell, prelude: str = "", timeout: float = 60, submit_timeout: float = 120) -> None:
        self.shell = shell
        self._prelude = prelude
        self._timeout = timeout
        self._submit_timeout = submit_timeout

    def run(
        self, account: str, programs: Sequence[str], given: Given, stdin: bytes = b"", timeout: float = 0
    ) -> Completed:
        """Run the texts of programs one after the other as one program, `given` set as shell variables before them."""
        values = "".join(f"{name}={quote(str(value))}\n" for name, value in given.items())
        text = "".join((_program("prelude"), self._prelude, "\n", values, *programs))
        return self.shell.run(text, stdin, timeout=timeout or self._timeout, account=account)

    def stage_and_launch(self, batch: StagedBatch, launcher: str, given: Given) -> dict[str, Launch]:
        """Unpack a batch and launch each of its jobs.

        launcher: the text of a program that defines launch(), which runs in a job's folder.
        """
        given = {"parent": batch.parent, "random": secrets.token_hex(8), "keys": "\n".join(batch.keys), **given}
        done = self.run(batch.account, [launcher, _program("stage")], given, batch.tar, self._submit_timeout)
        return parse_launches(done, self.shell.name)

    def find(self, account: str, refs: Sequence[JobRef]) -> dict[str, str | Absent | Doubt]:
        """Ask each folder what became of its attempt, fencing it where nothing has been launched."""
        by_folder = {safe_folder(ref): ref.key for ref in refs}
        given = {"random": secrets.token_hex(8), "folders": "\n".join(by_folder)}
        return self._settled(self.run(account, [_program("find")], given), by_folder)

    def resolve(self, account: str, resolved: Mapping[JobRef, str]) -> dict[str, str | Absent | Doubt]:
        """Write down what the queue has told of attempts long in doubt: a native id, or "" to fence one for good."""
        by_folder = {safe_folder(ref): ref.key for ref in resolved}
        lines = "\n".join(f"{ref.folder}\t{native}" for ref, native in resolved.items())
        return self._settled(self.run(account, [_program("resolve")], {"resolved": lines}), by_folder)

    def _settled(self, done: Completed, by_folder: Mapping[str, str]) -> dict[str, str | Absent | Doubt]:
        lines = complete_lines(done, "end\t\t", self.shell.name)
        rows = (line.split("\t") for line in lines)
        return {by_folder[folder]: _found(word, detail) for folder, word, detail in rows}

    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        """The pieces asked for, in that order, one round trip an account (more beyond MOST_LOG_BYTES)."""
        pieces: list[bytes | None] = [None] * len(requests)
        for account, numbers in _log_batches(requests):
            wanted = "\n".join(_wanted_line(requests[number]) for number in numbers)
            done = self.run(account, [_program("logs")], {"wanted": wanted})
            for number, piece in zip(numbers, parse_pieces(done, len(numbers), self.shell.name), strict=True):
                pieces[number] = piece
        return pieces

    def clean(self, refs: Sequence[JobRef]) -> None:
        """Remove folders and events of these jobs."""
        for account, batch in batches(refs):
            folders = "\n".join(safe_folder(ref) for ref in batch)
            require_success(self.run(account, [_program("clean")], {"folders": folders}), self.shell.name)


def launch_batch(
    folders: AttemptFolders, batch: StagedBatch, launcher: str, given: Given, answers: dict[str, Submitted]
) -> dict[str, Launch]:
    """Stage and launch one of several batches: what became of the others is told whatever becomes of this one."""
    try:
        return folders.stage_and_launch(batch, launcher, given)
    except Rejected as refusal:
        answers.update(dict.fromkeys(batch.keys, refusal))
    except Unreachable:
        if not answers:
            raise
    return {}


def batches(refs: Sequence[JobRef]) -> Iterator[tuple[str, list[JobRef]]]:
    """Refs by account, at most MOST_AT_ONCE together."""
    for account in dict.fromkeys(ref.account for ref in refs):
        own = [ref for ref in refs if ref.account == account]
        for start in range(0, len(own), MOST_AT_ONCE):
            yield account, own[start : start + MOST_AT_ONCE]


def read_base(config: Config) -> str:
    """The setting `base`: the folder at the site in which attempts have theirs. Raises `BadConfig`."""
    return config.folder("base", DEFAULT_BASE)


def safe_folder(job: JobRef | Workload) -> str:
    """The job's folder, sure to be named for its key: what we remove or rename at a site is never anything else."""
    folder, key = job.folder, job.key
    parent, _, name = folder.rpartition("/")
    if name != key or not KEY.match(key) or not parent or not is_plain_path(parent):
        raise Rejected(f"The attempt folder {folder!r} does not have the form <base>/<key>.", reason="BadFolder")
    return folder


def require_success(done: Completed, site: str) -> None:
    if done.exit != 0:
        raise Unreachable(f"A command at {site} failed ({done.exit}): {done.complaint or 'it said nothing'}.")


def complete_lines(done: Completed, last: str, site: str) -> list[str]:
    """The lines of an answer, sure to be complete: the program's last line is there."""
    require_success(done, site)
    lines = done.stdout.decode(errors="replace").split("\n")
    if lines[-2:] != [last, ""]:
        raise Unreachable(f"The answer from {site} was cut short.")
    return lines[:-2]


def parse_launches(done: Completed, site: str) -> dict[str, Launch]:
    """What stage.sh said, by key. A batch that was cut short still tells of the jobs it had come to."""
    launches: dict[str, Launch] = {}
    for record in done.stdout.decode(errors="replace").split("\0")[:-1]:
        key, word, code, text = record.split("\t", 3)
        if key == "all":
            raise Unreachable(f"No job folder can be written at {site}: {_one_line(text)}.")
        launches[key] = Launch(word, int(code), text if word == "started" else _one_line(text))
    if launches.pop("end", None) is None and not launches:
        raise Unreachable(f"Staging jobs at {site} failed ({done.exit}): {done.complaint or 'it said nothing'}.")
    return launches


def parse_pieces(done: Completed, count: int, site: str) -> list[bytes | None]:
    """What logs.sh said: for each file a line with its length, then so many bytes."""
    pieces: list[bytes | None] = []
    at = 0
    for _ in range(count):
        end = done.stdout.find(b"\n", at)
        size = done.stdout[at:end]
        at = end + 1
        if size == b"none":
            pieces.append(None)
        elif size.isdigit():
            pieces.append(done.stdout[at : at + int(size)])
            at += int(size)
        else:
            raise Unreachable(f"Logs at {site} cannot be read ({done.exit}): {done.complaint or 'a file was cut'}.")
    if done.stdout[at:] != b"end\n":
        raise Unreachable(f"Logs at {site} were cut short.")
    return pieces


def _found(word: str, detail: str) -> str | Absent | Doubt:
    if word == "found":
        return detail
    if word == "absent":
        return ABSENT
    return Doubt(int(detail or 0))


def _log_batches(requests: Sequence[LogRequest]) -> Iterator[tuple[str, list[int]]]:
    """Numbers of requests by account, each batch within MOST_LOG_BYTES and MOST_AT_ONCE."""
    for account in dict.fromkeys(request.ref.account for request in requests):
        batch: list[int] = []
        size = 0
        for number, request in enumerate(requests):
            if request.ref.account != account:
                continue
            if batch and (size + request.limit > MOST_LOG_BYTES or len(batch) == MOST_AT_ONCE):
                yield account, batch
                batch, size = [], 0
            batch.append(number)
            size += request.limit
        yield account, batch


def _wanted_line(request: LogRequest) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", request.container):
        raise Rejected(f"{request.container!r} is not the name of a container.", reason="BadContainer")
    limit = min(request.limit, MOST_LOG_BYTES)
    return f"{request.offset:d}\t{limit:d}\t{request.container}.{request.part}\t{safe_folder(request.ref)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000].rstrip(".")
