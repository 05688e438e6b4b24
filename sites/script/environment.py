"""Writes a container's variables into files, in a form from which its runtime can read any name and any value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.script.runtime import RuntimeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    Variables = Iterable[tuple[str, str]]


def environment_files(variables: Variables, kind: RuntimeKind) -> dict[str, bytes]:
    """Return file name -> content. `env`: pairs with NUL after each, which the launcher puts into the environment.

    Raises Refused for a variable that the runtime cannot take.
    """
    if kind is RuntimeKind.CHARLIECLOUD:
        return _charliecloud_files(variables)
    return {"env": nul_separated(f"{name}={value}" for name, value in variables)}


def _charliecloud_files(variables: Variables) -> dict[str, bytes]:
    """Put the variables into `env.lines`, which ch-run reads, so that a pod's LD_PRELOAD or PATH never affects ch-run.

    A variable with a line break does not fit there and goes through ch-run's own environment. Raises Refused for one
    that would affect ch-run there.
    """
    lines: list[str] = []
    rest: list[str] = []
    for name, value in variables:
        if "\n" not in name + value:
            # ch-run strips one pair of quotes, so the value keeps its own.
            lines.append(f"{name}='{value}'\n")
        elif name.startswith("LD_") or name in {"GLIBC_TUNABLES", "PATH", "TMPDIR", "USER"}:
            raise Refused(f"The variable {name} holds a line break, which this site cannot pass to the container.")
        else:
            rest.append(f"{name}={value}")
    return {"env": nul_separated(rest), "env.lines": "".join(lines).encode()}


def nul_separated(fields: Iterable[str]) -> bytes:
    """Join fields with NUL after each. Every list reaches the site in this form, because no field can hold a NUL."""
    return b"".join(field.encode() + b"\0" for field in fields)
