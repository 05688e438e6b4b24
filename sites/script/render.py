"""Workload -> the files of its attempt folder, the batch script first. Pure. The .sh files here are its templates."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from importlib.resources import files
from shlex import quote
from typing import TYPE_CHECKING

from sites.script.environment import environment_files, nul_separated
from sites.script.runtime import Runtime, RuntimeKind
from sites.workload import File

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sites.workload import Container, Workload

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The templates of the batch script, and of the files beside it that start containers.
SCRIPT_PARTS = {
    RuntimeKind.HOST: ("host.sh",),
    RuntimeKind.APPTAINER: ("volumes.sh", "apptainer.sh"),
    RuntimeKind.SINGULARITY: ("volumes.sh", "apptainer.sh"),
    RuntimeKind.CHARLIECLOUD: ("charliecloud.sh",),
}
COMPANIONS = {RuntimeKind.CHARLIECLOUD: {"root.sh": ("volumes.sh", "charliecloud_root.sh")}}
LAUNCHERS = {"launch.pl": ("launch.pl",), "launch.py": ("launch.py",)}


@dataclass(frozen=True)
class Staged:
    """The content of an attempt folder before its batch job starts. Paths are relative to the folder.

    files: `script` is the batch script, with mode 0700. Files that may hold a secret have mode 0600 or the mode that
    the pod names. directories: those that must exist even if they are empty.
    """

    files: tuple[File, ...]
    directories: tuple[str, ...]


def render(workload: Workload, runtime: Runtime, header: Sequence[str] = ()) -> Staged:
    """Make the attempt folder of a workload for a site's runtime.

    header: the lines after the shebang (`#SBATCH ...`). Raises ValueError if one holds a line break. The script needs
    SLURM_JOB_ID or ISTHMUS_NATIVE_ID in its environment. Its exit code is the first of its containers' codes that is
    not 0. docs/attempt-folder.md lists what it reads and writes.
    """
    if any("\n" in line or "\r" in line for line in header):
        raise ValueError("A header line of a batch script holds a line break.")
    # -p keeps a site's BASH_ENV, and functions that a profile has exported, out of our script.
    lines = ["#!/bin/bash -p", *header, "", *_data(workload, runtime), ""]
    script = "\n".join(lines).encode() + b"\n" + _templates((*SCRIPT_PARTS[runtime.kind], "batch.sh"))
    staged = [File("script", script, 0o700)]
    companions = {**LAUNCHERS, **COMPANIONS.get(runtime.kind, {})}
    staged += [File(name, _templates(parts), 0o600) for name, parts in companions.items()]
    writable = frozenset(volume.name for volume in workload.volumes if volume.writable)
    for container in (*workload.init_containers, *workload.containers):
        staged += _container_files(container, runtime, writable)
    for volume in workload.volumes:
        # The batch account reads the files for every user of the container, so its owner may always read them.
        staged += [File(f"volumes/{volume.name}/{each.path}", each.content, each.mode | 0o400) for each in volume.files]
    empty = tuple(f"volumes/{volume.name}" for volume in workload.volumes)
    return Staged(tuple(staged), ("run", "scratch", "containers", "volumes", *empty))


def _data(workload: Workload, runtime: Runtime) -> list[str]:
    """Return the lines of the script that differ between pods. All other values are in files that no shell parses."""
    folder = _at_site(workload.folder)
    return [
        "set -u +o posix",
        "umask 077",
        "export LC_ALL=C",
        f"folder={folder}",
        f"events={_at_site(posixpath.dirname(workload.folder.rstrip('/')) or '.')}/events",
        f"key={quote(workload.key)}",
        f"init_containers=({_words(container.name for container in workload.init_containers)})",
        f"containers=({_words(container.name for container in workload.containers)})",
        f"gpus={sum(workload.demand.gpus_per_node.values()):d}",
        f"grace={runtime.grace:d}",
        f"runtime_kind={runtime.kind}",
        f"runtime={quote(runtime.program)}",
        f"images={_at_site(runtime.images) if runtime.images else ''}",
        f"standard_path={STANDARD_PATH}",
    ]


def _at_site(path: str) -> str:
    """Quote a path for the shell. A relative path is relative to the account's home."""
    return quote(path) if path.startswith("/") else f"~/{quote(path)}"


def _words(names: Iterable[str]) -> str:
    return " ".join(quote(name) for name in names)


def _container_files(container: Container, runtime: Runtime, writable: frozenset[str]) -> list[File]:
    folder = f"containers/{container.name}"
    mounts: list[str] = []
    # Outer mounts first: they would cover inner ones.
    for mount in sorted(container.mounts, key=lambda each: each.path):
        # As in Kubernetes, files that came with the pod are read-only, whatever the mount says.
        may_write = mount.volume in writable and not mount.read_only
        mounts += (mount.volume, mount.path, mount.sub_path, "rw" if may_write else "ro")
    contents = {
        "argv": nul_separated([*container.command, *container.args]),
        "image": nul_separated([container.image, "replaced" if container.command else "kept"]),
        "workdir": nul_separated([container.working_dir]),
        "mounts": nul_separated(mounts),
        **environment_files(container.env, runtime.kind),
    }
    return [File(f"{folder}/{name}", content, 0o600) for name, content in contents.items()]


def _templates(names: Sequence[str]) -> bytes:
    folder = files("sites.script")
    return b"\n".join(folder.joinpath(name).read_bytes() for name in names)
