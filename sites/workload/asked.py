"""What a site is asked to run. Frozen, free of Django, known to every connector."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class Resources:
    """What the whole pod asks for. cpus: whole cores; memory: bytes, 0 leaves the site's default."""

    cpus: int = 1
    memory: int = 0
    gpus: int = 0
    gpu_kind: str = ""


@dataclass(frozen=True)
class NativeFlags:
    """The scheduler options of the annotation `slurm-job.vk.io/flags` that we understand. Unset ones are None.

    time_limit: seconds; memory: bytes a node; gres: as written (`gpu:a100:2`); comment: a harmless job name.
    """

    time_limit: int | None = None
    partition: str | None = None
    nodes: int | None = None
    ntasks: int | None = None
    cpus_per_task: int | None = None
    memory: int | None = None
    gres: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Workload:
    """One attempt at one pod, as a connector needs it.

    key: the attempt's own random key (lower-case hex), the only name the site sees; folder: where the attempt lives at
    the site, absolute or relative to the account's home; account: the local account, empty for the site's own;
    pod: `namespace/name`, for people; time_limit: seconds, None leaves the partition's default; qos: the scheduler's
    quality of service, empty leaves the account's own.
    """

    key: str
    folder: str
    pod: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    resources: Resources = Resources()
    flags: NativeFlags = NativeFlags()
    time_limit: int | None = None
    account: str = ""
    qos: str = ""


@dataclass(frozen=True)
class JobRef:
    """Enough to find one attempt at its site again. native_id is empty while we do not know it."""

    key: str
    native_id: str
    folder: str
    account: str = ""
    pod: str = ""
