"""How a site runs containers: which program, and where its images lie. One per site, from the operator's settings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RuntimeKind(StrEnum):
    """`HOST` runs commands as plain processes, without any isolation: only where the operator says so."""

    HOST = "host"
    APPTAINER = "apptainer"
    SINGULARITY = "singularity"
    CHARLIECLOUD = "charliecloud"

    @classmethod
    def _missing_(cls, value: object) -> RuntimeKind:
        raise ValueError(f"There is no container runtime {value!r}: choose one of {', '.join(cls)}.")


PROGRAMS = {
    RuntimeKind.HOST: "",
    RuntimeKind.APPTAINER: "apptainer",
    RuntimeKind.SINGULARITY: "singularity",
    RuntimeKind.CHARLIECLOUD: "ch-run",
}


@dataclass(frozen=True)
class Runtime:
    """kind: a name from an operator's settings is converted; one that is none is a ValueError with the choices.

    path: the program at the site, looked for in the batch job's PATH when it has no slash; empty: the usual name.
    images: the site's folder of images, absolute or relative to the account's home; empty: there is none.
    grace: seconds between TERM and KILL. Slurm sends its own KILL after KillWait (30 s by default); the outcome files
    must be written before that.
    """

    kind: RuntimeKind
    path: str = ""
    images: str = ""
    grace: int = 25

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", RuntimeKind(self.kind))

    @property
    def program(self) -> str:
        return self.path or PROGRAMS[self.kind]
