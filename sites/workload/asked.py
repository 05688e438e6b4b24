"""What a site is asked to run. Frozen, free of Django, known to every connector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sites.workload.demand import Demand

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class File:
    """One file of a volume: `path` is relative to the volume's root, `content` arrives byte for byte."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True)
class Volume:
    """A directory that containers mount. An emptyDir has no files and is writable; the others are read-only files."""

    name: str
    files: tuple[File, ...] = ()
    writable: bool = False


@dataclass(frozen=True)
class Mount:
    """Where a container sees a volume; `sub_path` picks one file or folder of it."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """One container. `command` and `args` mean what they mean in Kubernetes: empty leaves the image's own.

    `env` holds pairs in the order of the pod; a name may be anything without `=` and NUL, a value anything without NUL.
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

    key: the attempt's own random key (lower-case hex), the only name the site sees; folder: where the attempt lives at
    the site, absolute or relative to the account's home; account: the local account, empty for the site's own;
    pod: `namespace/name`, for people; demand: what it asks of the scheduler; native: options that one kind of scheduler
    alone knows, by their names there (Slurm: `gres` without GPUs, `job-name`). Other connectors leave them alone.
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
    """Enough to find one attempt at its site again. native_id is empty while we do not know it."""

    key: str
    native_id: str
    folder: str
    account: str = ""
    pod: str = ""
