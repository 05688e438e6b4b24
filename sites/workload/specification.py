"""What a site has to run. Frozen dataclasses without Django, for every connector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sites.workload.demand import Demand

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class File:
    """One file of a volume. path: relative to the volume's root. content: the exact bytes. mode: its permissions."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True)
class Volume:
    """A directory that containers mount. An emptyDir is writable and has no files; others hold read-only files."""

    name: str
    files: tuple[File, ...] = ()
    writable: bool = False


@dataclass(frozen=True)
class Mount:
    """The path at which a container sees a volume. sub_path: the file or folder of the volume to show, "" for all."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """One container. command, args: as in Kubernetes; empty means the image's own.

    env: pairs of name and value, in the pod's order. A name may hold any character but `=` and NUL, a value any but
    NUL.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Workload:
    """One attempt at one pod, as a connector needs it.

    key: the attempt's random key (lower-case hex), the only name that the site sees. folder: the attempt's folder at
    the site, absolute or relative to the account's home. account: the local account, empty for the site's own. pod:
    `namespace/name`, for people. demand: what the job requests from the scheduler. native: options for one kind of
    scheduler only, by their names there (Slurm: `gres` without GPUs, `job-name`); other connectors ignore them.
    """

    key: str
    folder: str
    pod: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    demand: Demand = field(default_factory=Demand)
    native: Mapping[str, str] = field(default_factory=dict)
    account: str = ""


@dataclass(frozen=True)
class JobRef:
    """What a connector needs to find an attempt at its site again. native_id: empty while unknown."""

    key: str
    native_id: str
    folder: str
    account: str = ""
    pod: str = ""
