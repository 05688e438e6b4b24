"""Workload -> the files of its attempt folder, the batch script first. Pure; the shell lies beside it as .sh files."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from importlib.resources import files
from shlex import quote
from typing import TYPE_CHECKING

from sites.script.runtime import Runtime, RuntimeKind
from sites.workload import File

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sites.workload import Container, Volume, Workload

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

RUNTIME_PARTS = {RuntimeKind.HOST: "host.sh"}


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
    staged += [File(name, _template(name), 0o600) for name in ("launch.pl", "launch.py")]
    for container in (*workload.init_containers, *workload.containers):
        staged += _container_files(container)
    for volume in workload.volumes:
        staged += _volume_files(volume)
    empty = tuple(f"volumes/{volume.name}" for volume in workload.volumes)
    return Staged(tuple(staged), ("run", "scratch", "containers", "volumes", *empty))


def _script(workload: Workload, runtime: Runtime, header: Sequence[str]) -> bytes:
    # -p: a site's BASH_ENV and functions exported by somebody's profile stay out of our script.
    lines = ["#!/bin/bash -p", *header, "", *_data(workload, runtime), ""]
    parts = (_template(RUNTIME_PARTS[runtime.kind]), b"\n", _template("batch.sh"))
    return "\n".join(lines).encode() + b"\n" + b"".join(parts)


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
        f"gpus={workload.resources.gpus:d}",
        f"grace={runtime.grace:d}",
        f"runtime={quote(runtime.program)}",
        f"images={_at_site(runtime.images) if runtime.images else ''}",
        f"standard_path={STANDARD_PATH}",
    ]


def _at_site(path: str) -> str:
    """A path as a shell word; relative ones are relative to the account's home."""
    return quote(path) if path.startswith("/") else f"~/{quote(path)}"


def _words(names: Iterable[str]) -> str:
    return " ".join(quote(name) for name in names)


def _container_files(container: Container) -> list[File]:
    folder = f"containers/{container.name}"
    variables = [f"{name}={value}" for name, value in container.env]
    mounts = [
        field
        for mount in container.mounts
        for field in (mount.volume, mount.path, mount.sub_path, "ro" if mount.read_only else "rw")
    ]
    contents = {
        "argv": [*container.command, *container.args],
        "env": variables,
        "image": [container.image],
        "workdir": [container.working_dir],
        "mounts": mounts,
    }
    return [File(f"{folder}/{name}", _nul_separated(fields), 0o600) for name, fields in contents.items()]


def _nul_separated(fields: Iterable[str]) -> bytes:
    return b"".join(field.encode() + b"\0" for field in fields)


def _volume_files(volume: Volume) -> list[File]:
    """The batch account reads them in everybody's name, so owner-read is always there."""
    return [File(f"volumes/{volume.name}/{file.path}", file.content, file.mode | 0o400) for file in volume.files]


def _template(name: str) -> bytes:
    return files("sites.script").joinpath(name).read_bytes()
