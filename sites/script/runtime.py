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


PROGRAMS = {
    RuntimeKind.HOST: "",
    RuntimeKind.APPTAINER: "apptainer",
    RuntimeKind.SINGULARITY: "singularity",
    RuntimeKind.CHARLIECLOUD: "ch-run",
}


@dataclass(frozen=True)
class Runtime:
    """kind: `host`, `apptainer`, `singularity` or `charliecloud`; anything else is a ValueError that says so.

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
        if self.kind not in set(RuntimeKind):
            kinds = ", ".join(RuntimeKind)
            raise ValueError(f"There is no container runtime {self.kind!r}: choose one of {kinds}.")
        object.__setattr__(self, "kind", RuntimeKind(self.kind))

    @property
    def program(self) -> str:
        return self.path or PROGRAMS[self.kind]
