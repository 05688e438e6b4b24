"""The protocol of docs/attempt-folder.md, for all connectors that run commands at a site.

Each call is a POSIX shell program (programs/*.sh) between two pure halves: one prepares its input, one parses its
answer.
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
#: The parent of attempt folders, in the account's home, for a site without the setting `base`.
DEFAULT_BASE = ".isthmus/jobs"

#: Values for a program's shell variables, by name.
Variables = Mapping[str, object]

_program = partial(read_program, "sites.connectors.folder")


@dataclass(frozen=True)
class StagedBatch:
    """Jobs of one account below one folder, as one stream. tar: all their files. keys: the jobs, in the tar's order."""

    account: str
    parent: str
    keys: tuple[str, ...]
    tar: bytes


@dataclass(frozen=True)
class Launch:
    """The result of one launch.

    word: `started`, `refused`, `doubt`, `known`, `unlaunched` or `unstaged`. code: the launch command's exit code.
    text: the native id if `started`, else the command's output.
    """

    word: str
    code: int
    text: str


@dataclass(frozen=True)
class Doubt:
    """The folder is in the state `submitting`, without a native id. seconds: for how long, by the site's clock."""

    seconds: int

    @property
    def is_old(self) -> bool:
        """Whether the launch must be over: it has a time limit of 30 seconds."""
        return self.seconds >= 60


class AttemptFolders:
    """The attempt folders of one site. prelude: shell text before every program. Time-outs are in seconds."""

    def __init__(self, shell: Shell, prelude: str = "", timeout: float = 60, submit_timeout: float = 120) -> None:
        self.shell = shell
        self._prelude = prelude
        self._timeout = timeout
        self._submit_timeout = submit_timeout

    def run(
        self, account: str, programs: Sequence[str], variables: Variables, stdin: bytes = b"", timeout: float = 0
    ) -> Completed:
        """Run the texts of several programs as one program, with these shell variables set."""
        values = "".join(f"{name}={quote(str(value))}\n" for name, value in variables.items())
        text = "".join((_program("prelude"), self._prelude, "\n", values, *programs))
        return self.shell.run(text, stdin, timeout=timeout or self._timeout, account=account)

    def stage_and_launch(self, batch: StagedBatch, launcher: str, variables: Variables) -> dict[str, Launch]:
        """Unpack a batch and launch each of its jobs. launcher: shell text of launch(), for a job's folder."""
        own = {"parent": batch.parent, "random": secrets.token_hex(8), "keys": "\n".join(batch.keys), **variables}
        done = self.run(batch.account, [launcher, _program("stage")], own, batch.tar, self._submit_timeout)
        return parse_launches(done, self.shell.name)

    def find(self, account: str, refs: Sequence[JobRef]) -> dict[str, str | Absent | Doubt]:
        """Read each attempt's state from its folder, and fence the folder if nothing has been launched from it."""
        by_folder = {safe_folder(ref): ref.key for ref in refs}
        variables = {"random": secrets.token_hex(8), "folders": "\n".join(by_folder)}
        return self._settled(self.run(account, [_program("find")], variables), by_folder)

    def resolve(self, account: str, resolved: Mapping[JobRef, str]) -> dict[str, str | Absent | Doubt]:
        """Settle attempts that are long in doubt. resolved: their native ids; "" fences an attempt for good."""
        by_folder = {safe_folder(ref): ref.key for ref in resolved}
        lines = "\n".join(f"{ref.folder}\t{native}" for ref, native in resolved.items())
        return self._settled(self.run(account, [_program("resolve")], {"resolved": lines}), by_folder)

    def _settled(self, done: Completed, by_folder: Mapping[str, str]) -> dict[str, str | Absent | Doubt]:
        settled: dict[str, str | Absent | Doubt] = {}
        for line in complete_lines(done, "end\t\t", self.shell.name):
            folder, word, detail = line.split("\t")
            known: dict[str, str | Absent] = {"found": detail, "absent": ABSENT}
            settled[by_folder[folder]] = known[word] if word in known else Doubt(int(detail or 0))
        return settled

    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        """Read pieces in the order of the requests, in one round trip for each account (more beyond MOST_LOG_BYTES)."""
        pieces: list[bytes | None] = [None] * len(requests)
        for account, numbers in _log_batches(requests):
            wanted = "\n".join(_log_line(requests[number]) for number in numbers)
            done = self.run(account, [_program("logs")], {"wanted": wanted})
            for number, piece in zip(numbers, parse_pieces(done, len(numbers), self.shell.name), strict=True):
                pieces[number] = piece
        return pieces

    def clean(self, refs: Sequence[JobRef]) -> None:
        """Delete the folders and events of these jobs."""
        for account, batch in batches(refs):
            folders = "\n".join(safe_folder(ref) for ref in batch)
            require_success(self.run(account, [_program("clean")], {"folders": folders}), self.shell.name)


def launch_batch(
    folders: AttemptFolders, batch: StagedBatch, launcher: str, variables: Variables, answers: dict[str, Submitted]
) -> dict[str, Launch]:
    """Stage and launch one of several batches, so that its failure does not lose the answers of the earlier ones.

    answers: of the earlier batches; a refusal of this batch is added. Raises Unreachable only if there are no answers
    yet.
    """
    try:
        return folders.stage_and_launch(batch, launcher, variables)
    except Rejected as refusal:
        answers.update(dict.fromkeys(batch.keys, refusal))
    except Unreachable:
        if not answers:
            raise
    return {}


def batches(refs: Sequence[JobRef]) -> Iterator[tuple[str, list[JobRef]]]:
    """Yield (account, refs), with at most MOST_AT_ONCE refs each."""
    for account in dict.fromkeys(ref.account for ref in refs):
        own = [ref for ref in refs if ref.account == account]
        for start in range(0, len(own), MOST_AT_ONCE):
            yield account, own[start : start + MOST_AT_ONCE]


def read_base(config: Config) -> str:
    """Read the setting `base`: the parent folder of attempts at the site. Raises `BadConfig`."""
    return config.folder("base", DEFAULT_BASE)


def safe_folder(job: JobRef | Workload) -> str:
    """Return the job's folder. Raises `Rejected` unless its name is the job's key: we delete and rename no other."""
    folder, key = job.folder, job.key
    parent, _, name = folder.rpartition("/")
    if name != key or not KEY.match(key) or not parent or not is_plain_path(parent):
        raise Rejected(f"The attempt folder {folder!r} does not have the form <base>/<key>.", reason="BadFolder")
    return folder


def require_success(done: Completed, site: str) -> None:
    """Raises `Unreachable` if the program has failed."""
    if done.exit != 0:
        raise Unreachable(f"A command at {site} failed ({done.exit}): {done.complaint or 'it said nothing'}.")


def complete_lines(done: Completed, last: str, site: str) -> list[str]:
    """Return the lines of an answer. Raises `Unreachable` if the program failed or its last line is missing."""
    require_success(done, site)
    lines = done.stdout.decode(errors="replace").split("\n")
    if lines[-2:] != [last, ""]:
        raise Unreachable(f"The answer from {site} was incomplete.")
    return lines[:-2]


def parse_launches(done: Completed, site: str) -> dict[str, Launch]:
    """Parse the output of stage.sh, by key; it may be incomplete. Raises `Unreachable` if it holds no job."""
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
    """Parse the output of logs.sh: for each file a line with its length, then that many bytes; `none`: no such file."""
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
        raise Unreachable(f"The logs from {site} were incomplete.")
    return pieces


def _log_batches(requests: Sequence[LogRequest]) -> Iterator[tuple[str, list[int]]]:
    """Yield (account, indices of requests), each batch within MOST_LOG_BYTES and MOST_AT_ONCE."""
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


def _log_line(request: LogRequest) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", request.container):
        raise Rejected(f"{request.container!r} is not the name of a container.", reason="BadContainer")
    limit = min(request.limit, MOST_LOG_BYTES)
    return f"{request.offset:d}\t{limit:d}\t{request.container}.{request.part}\t{safe_folder(request.ref)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000].rstrip(".")
