"""Workload -> the files of its attempt folder, the batch script first. Pure; the shell lies beside it as .sh files."""

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

    from sites.workload import Container, Mount, Volume, Workload

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Which templates make up the script, and the files beside it that start containers.
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
    """What lies in an attempt folder before its batch job starts; paths are relative to the folder.

    files: `script` is the batch script, mode 0700; everything that may hold a secret is 0600 or as its pod asks.
    directories: those to make even though they are empty.
    """

    files: tuple[File, ...]
    directories: tuple[str, ...]


def render(workload: Workload, runtime: Runtime, header: Sequence[str] = ()) -> Staged:
    """Stage a workload for a site's runtime.

    header: lines to stand right after the shebang (`#SBATCH ...`), without line breaks: ValueError otherwise.
    The script expects SLURM_JOB_ID or ISTHMUS_NATIVE_ID in its environment; its exit code is the first container's
    that is not 0. What it reads and writes: docs/attempt-folder.md.
    """
    if any("\n" in line or "\r" in line for line in header):
        raise ValueError("A header line of a batch script holds a line break.")
    staged = [File("script", _script(workload, runtime, header), 0o700)]
    companions = {**LAUNCHERS, **COMPANIONS.get(runtime.kind, {})}
    staged += [File(name, _templates(parts), 0o600) for name, parts in companions.items()]
    writable = frozenset(volume.name for volume in workload.volumes if volume.writable)
    for container in (*workload.init_containers, *workload.containers):
        staged += _container_files(container, runtime, writable)
    for volume in workload.volumes:
        staged += _volume_files(volume)
    empty = tuple(f"volumes/{volume.name}" for volume in workload.volumes)
    return Staged(tuple(staged), ("run", "scratch", "containers", "volumes", *empty))


def _script(workload: Workload, runtime: Runtime, header: Sequence[str]) -> bytes:
    # -p: a site's BASH_ENV and functions exported by somebody's profile stay out of our script.
    lines = ["#!/bin/bash -p", *header, "", *_data(workload, runtime), ""]
    return "\n".join(lines).encode() + b"\n" + _templates((*SCRIPT_PARTS[runtime.kind], "batch.sh"))


def _data(workload: Workload, runtime: Runtime) -> list[str]:
    """All that differs from pod to pod in the script itself; the rest is in files that no shell ever parses."""
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
    """A path as a shell word; relative ones are relative to the account's home."""
    return quote(path) if path.startswith("/") else f"~/{quote(path)}"


def _words(names: Iterable[str]) -> str:
    return " ".join(quote(name) for name in names)


def _container_files(container: Container, runtime: Runtime, writable: frozenset[str]) -> list[File]:
    folder = f"containers/{container.name}"
    # Outer mounts first, so that an inner one is not covered.
    mounts = sorted(container.mounts, key=lambda mount: mount.path)
    contents = {
        "argv": nul_separated([*container.command, *container.args]),
        "image": nul_separated([container.image, "replaced" if container.command else "kept"]),
        "workdir": nul_separated([container.working_dir]),
        "mounts": nul_separated(field for mount in mounts for field in _mount_fields(mount, writable)),
        **environment_files(container.env, runtime.kind),
    }
    return [File(f"{folder}/{name}", content, 0o600) for name, content in contents.items()]


def _mount_fields(mount: Mount, writable: frozenset[str]) -> tuple[str, ...]:
    """Files that came with the pod are read-only whatever the mount says, as in Kubernetes."""
    may_write = mount.volume in writable and not mount.read_only
    return (mount.volume, mount.path, mount.sub_path, "rw" if may_write else "ro")


def _volume_files(volume: Volume) -> list[File]:
    """The batch account reads them in everybody's name, so owner-read is always there."""
    return [File(f"volumes/{volume.name}/{file.path}", file.content, file.mode | 0o400) for file in volume.files]


def _templates(names: Sequence[str]) -> bytes:
    folder = files("sites.script")
    return b"\n".join(folder.joinpath(name).read_bytes() for name in names)
