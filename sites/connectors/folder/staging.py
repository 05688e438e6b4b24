"""Staged jobs -> tar streams of limited size for programs/stage.sh, built in memory. Pure."""

from __future__ import annotations

import io
import posixpath
import tarfile
from typing import TYPE_CHECKING

from sites.connectors.base import Rejected
from sites.connectors.folder.protocol import MOST_AT_ONCE, StagedBatch, safe_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sites.connectors.base import Submitted
    from sites.script import Staged
    from sites.workload import Workload

MOST_BYTES = 32 * 1024 * 1024


def staged_batches(jobs: Iterable[tuple[Workload, Staged]], refused: dict[str, Submitted]) -> Iterator[StagedBatch]:
    """Pack jobs into batches of at most MOST_AT_ONCE jobs and MOST_BYTES. Jobs that fit into none go to `refused`."""
    groups: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
    for workload, staged in jobs:
        try:
            parent = posixpath.dirname(safe_folder(workload))
            members = members_of(workload.key, staged)
        except Rejected as refusal:
            refused[workload.key] = refusal
        else:
            groups.setdefault((workload.account, parent), []).append((workload.key, members))
    for (account, parent), packed in groups.items():
        for part in _cut(packed):
            # tar does not report a stream that was cut between two files; the file `whole` shows that all has arrived.
            end = _header("whole", tarfile.REGTYPE, 0, 0o600) + bytes(2 * tarfile.BLOCKSIZE)
            tar = b"".join(members for _, members in part) + end
            yield StagedBatch(account, parent, tuple(key for key, _ in part), tar)


def members_of(key: str, staged: Staged) -> bytes:
    """Pack one job's folder into tar members. Raises `Rejected` if they are larger than MOST_BYTES."""
    folders = [key, *(f"{key}/{path}" for path in _folders(staged))]
    stream = io.BytesIO()
    for path in folders:
        stream.write(_header(path, tarfile.DIRTYPE, 0, 0o700))
    for file in staged.files:
        stream.write(_header(f"{key}/{file.path}", tarfile.REGTYPE, len(file.content), file.mode & 0o777))
        stream.write(file.content)
        stream.write(bytes(-len(file.content) % tarfile.BLOCKSIZE))
    stream.write(_header(f"{key}/open", tarfile.REGTYPE, 0, 0o600))
    if stream.tell() > MOST_BYTES:
        message = f"The pod's files take {stream.tell()} bytes at the site; at most {MOST_BYTES} can be sent."
        raise Rejected(message, reason="TooLarge")
    return stream.getvalue()


def _folders(staged: Staged) -> list[str]:
    """Return all folders of the job, each after its parent. Raises `Rejected` if a path leads out of it."""
    paths = (*staged.directories, *(posixpath.dirname(file.path) for file in staged.files))
    found: set[str] = set()
    for path in filter(None, paths):
        names = path.split("/")
        if ".." in names or "" in names:
            raise Rejected(f"The path {path!r} leaves the job's folder.", reason="BadPath")
        found.update("/".join(names[:depth]) for depth in range(1, len(names) + 1))
    return sorted(found)


def _header(path: str, kind: bytes, size: int, mode: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.type, member.size, member.mode = kind, size, mode
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _cut(packed: list[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    part: list[tuple[str, bytes]] = []
    size = 0
    for key, members in packed:
        if part and (size + len(members) > MOST_BYTES or len(part) == MOST_AT_ONCE):
            yield part
            part, size = [], 0
        part.append((key, members))
        size += len(members)
    if part:
        yield part
