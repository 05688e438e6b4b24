"""How a site runs containers: the program, and the folder of its images. One for each site, from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RuntimeKind(StrEnum):
    """The container runtimes. `HOST` runs plain processes without isolation, only if the operator chooses it."""

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
    """The runtime of a site.

    kind: a `RuntimeKind` or its name; another name raises ValueError with the choices. path: the program at the site;
    without a slash, the batch job's PATH is searched; empty: the usual name. images: the site's folder of images,
    absolute or relative to the account's home; empty: none. grace: seconds between TERM and KILL; less than Slurm's
    KillWait (30 s by default), after which Slurm sends its own KILL, because the outcome files must be written before.
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
