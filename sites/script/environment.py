"""A container's variables as files, in the form its runtime can take any name and any value from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.script.runtime import RuntimeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    Variables = Iterable[tuple[str, str]]


def environment_files(variables: Variables, kind: RuntimeKind) -> dict[str, bytes]:
    """File name -> content. `env`: NUL-separated pairs, which the launcher puts into the environment."""
    if kind is RuntimeKind.CHARLIECLOUD:
        return _charliecloud_files(variables)
    return {"env": nul_separated(f"{name}={value}" for name, value in variables)}


def _charliecloud_files(variables: Variables) -> dict[str, bytes]:
    """ch-run reads `env.lines`, so that a pod's LD_PRELOAD or PATH never acts on ch-run itself.

    What has a line break cannot stand there and goes through ch-run's own environment, except for the variables that
    would act on it: Refused.
    """
    lines: list[str] = []
    rest: list[str] = []
    for name, value in variables:
        if "\n" not in name + value:
            # One pair of quotes is stripped, so a value's own ones stay.
            lines.append(f"{name}='{value}'\n")
        elif name.startswith("LD_") or name in {"GLIBC_TUNABLES", "PATH", "TMPDIR", "USER"}:
            raise Refused(f"The value of the variable {name} holds a line break, which this site cannot pass on.")
        else:
            rest.append(f"{name}={value}")
    return {"env": nul_separated(rest), "env.lines": "".join(lines).encode()}


def nul_separated(fields: Iterable[str]) -> bytes:
    """The form in which every list reaches the site: no field can hold the separator."""
    return b"".join(field.encode() + b"\0" for field in fields)
