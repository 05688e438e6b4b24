"""Reads the options of `make demo` from the environment (README, "Try it")."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadOption(Exception):
    """A DEMO_ variable has a wrong value; the text says what to do."""


@dataclass(frozen=True)
class SlurmSite:
    """A cluster that is reached over SSH. known_hosts: lines that pin its host key. key: the text of a private key."""

    host: str
    port: int
    user: str
    key: str
    known_hosts: str
    slurm_conf: str
    runtime: str
    runtime_path: str
    images: str


@dataclass(frozen=True)
class Options:
    """port: of the web server, on loopback. home: the folder for the demo's data. slurm: a second site, if any."""

    port: int
    home: Path
    slurm: SlurmSite | None


def read_options(environ: Mapping[str, str] = os.environ) -> Options:
    """Read the options. Raises BadOption."""
    port = environ.get("DEMO_PORT", "8000")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise BadOption(f"DEMO_PORT must be a port number, not {port!r}.")
    home = Path(environ.get("DEMO_HOME") or "var/demo").expanduser().resolve()
    return Options(port=int(port), home=home, slurm=_slurm(environ))


def _slurm(environ: Mapping[str, str]) -> SlurmSite | None:
    address = environ.get("DEMO_SSH", "")
    if not address:
        return None
    user, at, host_port = address.rpartition("@")
    host, colon, port = host_port.rpartition(":")
    if not colon:
        host, port = host_port, "22"
    if not at or not host or not port.isdigit():
        raise BadOption(f"DEMO_SSH must be user@host:port, not {address!r}.")
    return SlurmSite(
        host=host,
        port=int(port),
        user=user,
        key=_file(environ, "DEMO_SSH_KEY"),
        known_hosts=_file(environ, "DEMO_SSH_KNOWN_HOSTS"),
        slurm_conf=environ.get("DEMO_SLURM_CONF", ""),
        runtime=environ.get("DEMO_RUNTIME", "apptainer"),
        runtime_path=environ.get("DEMO_RUNTIME_PATH", ""),
        images=environ.get("DEMO_IMAGES", ""),
    )


def _file(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise BadOption(f"Set {name} to a file's path: DEMO_SSH needs it.")
    try:
        return Path(environ[name]).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise BadOption(f"{name} cannot be read: {error.strerror}.") from error
