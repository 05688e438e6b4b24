"""Parses interLink's annotations on a pod: a flavor's name, and a few options of sbatch.

The options' values reach `#SBATCH` lines, so each must match a strict pattern. Every other option, and every other
annotation that interLink's own plugins act on, is refused by name, never ignored.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.manifest.shape import string

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ANNOTATION = "slurm-job.vk.io/flags"
#: The name of a flavor of the site (sites.models.Flavor).
FLAVOR = "slurm-job.vk.io/flavor"
NAME = re.compile(r"[\w-]{1,63}", re.ASCII)

# pre-exec, mpi-flags, image-root, singularity-*, enroot-*: they put shell code, options or paths into the batch script.
# wstunnel and mesh: they run commands that open a tunnel into the site's network.
REFUSED_PREFIXES = ("slurm-job.vk.io/", "interlink.eu/wstunnel", "interlink.eu/mesh")

SHORT = {"t": "time", "p": "partition", "N": "nodes", "n": "ntasks", "c": "cpus-per-task", "J": "job-name"}
NUMBER = re.compile(r"[1-9]\d{0,5}", re.ASCII)
NAMES = re.compile(r"[A-Za-z0-9_][\w.-]{0,63}(,[A-Za-z0-9_][\w.-]{0,63}){0,15}", re.ASCII)
MEMORY = re.compile(r"([1-9]\d{0,9})([KMGT]?)B?", re.IGNORECASE | re.ASCII)
GRES_ITEM = r"[A-Za-z]\w{0,31}(:[A-Za-z0-9_][\w.-]{0,62}){0,2}"
GRES = re.compile(rf"{GRES_ITEM}(,{GRES_ITEM}){{0,7}}", re.ASCII)
COMMENT = re.compile(r"[\w .,:;@/+=()\[\]%#-]{1,200}", re.ASCII)
TIME = re.compile(
    r"(?:(?P<days>\d{1,4})-(?P<h>\d{1,3})(?::(?P<m>\d{1,4}))?(?::(?P<s>\d{1,4}))?|(?P<plain>[\d:]{1,14}))"
)
KIBI = {"K": 1, "M": 2, "": 2, "G": 3, "T": 4}


@dataclass(frozen=True)
class NativeFlags:
    """The supported options of the annotation `slurm-job.vk.io/flags`; None for those that are not set.

    time_limit: seconds. memory: bytes for each node. gres: as written (`gpu:a100:2`). comment: the job name, with
    harmless characters only.
    """

    time_limit: int | None = None
    partition: str | None = None
    nodes: int | None = None
    ntasks: int | None = None
    cpus_per_task: int | None = None
    memory: int | None = None
    gres: str | None = None
    comment: str | None = None

    @property
    def native(self) -> dict[str, str]:
        """The options for Slurm only, which are not part of a `Demand`: option name -> value."""
        others = [item for item in (self.gres or "").split(",") if item and item.split(":")[0].lower() != "gpu"]
        options = {"gres": ",".join(others), "job-name": self.comment or ""}
        return {name: value for name, value in options.items() if value}


def native_flags(annotations: Mapping[str, object]) -> NativeFlags:
    """Return the pod's flags. Raises Refused, by name, for an annotation that we do not support, unless it is empty."""
    for name, value in annotations.items():
        written = string(value, f"The annotation {name}").strip()
        if written and name not in {ANNOTATION, FLAVOR} and name.startswith(REFUSED_PREFIXES):
            raise Refused(f"The annotation {name} is not allowed at this site; remove it from the pod.")
    return parse_flags(string(annotations.get(ANNOTATION), f"The annotation {ANNOTATION}"))


def flavor(annotations: Mapping[str, object]) -> str:
    """Return the name of the flavor that a pod asks for, or "". The site may not have a flavor of this name."""
    name = string(annotations.get(FLAVOR), f"The annotation {FLAVOR}").strip()
    if name and not NAME.fullmatch(name):
        raise Refused(f"The annotation {FLAVOR} must be the name of a flavor: letters, digits, dashes, underscores.")
    return name


def parse_flags(annotation: str) -> NativeFlags:
    """Parse `--x=y`, `--x y`, `-xy` and `-x y`; the last of equal options counts. Raises Refused, naming the option."""
    flags: dict[str, int | str] = {}
    for option, value in _options(annotation):
        field, read, example = READERS[option]
        parsed = read(value)
        if parsed is None:
            raise Refused(
                f'The value "{value[:60]}" of --{option} in {ANNOTATION} is not valid; write it like {example}.'
            )
        flags[field] = parsed
    return NativeFlags(**flags)  # type: ignore[arg-type]  # READERS pairs each field with a reader of its type


def _options(annotation: str) -> Iterator[tuple[str, str]]:
    """Yield each option's long name and its value."""
    try:
        words = iter(shlex.split(annotation))
    except ValueError:
        raise Refused(f"The annotation {ANNOTATION} has a quote that is never closed.") from None
    for word in words:
        value: str | None
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            shown, value = f"--{option}", value if equals else None
        else:
            shown, option = word[:2], SHORT.get(word[1:2], "") if word.startswith("-") else ""
            value = word[2:] or None
        if option not in READERS:
            raise Refused(f"The option {shown[:60]} of {ANNOTATION} is not allowed at this site.")
        value = next(words, None) if value is None else value
        if value is None:
            raise Refused(f"The option {shown} of {ANNOTATION} has no value.")
        yield option, value


def parse_time(written: str) -> int | None:
    """Convert Slurm's minutes, mm:ss, hh:mm:ss, d-hh, d-hh:mm or d-hh:mm:ss to seconds; None for 0 or anything else."""
    match = TIME.fullmatch(written)
    if match is None:
        return None
    if match["days"]:
        fields = [int(match["days"]) * 24 + int(match["h"]), int(match["m"] or 0), int(match["s"] or 0)]
    else:
        fields = [int(field) for field in match["plain"].split(":") if field]
        if len(fields) != match["plain"].count(":") + 1 or len(fields) > 3:
            return None
        fields = [0, *fields, 0] if len(fields) == 1 else [0] * (3 - len(fields)) + fields
    hours, minutes, seconds = fields
    return hours * 3600 + minutes * 60 + seconds or None


def _parse_memory(written: str) -> int | None:
    match = MEMORY.fullmatch(written)
    return int(match[1]) * 1024 ** KIBI[match[2].upper()] if match else None


def _parse_number(written: str) -> int | None:
    return int(written) if NUMBER.fullmatch(written) else None


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda written: written if pattern.fullmatch(written) else None


READERS: dict[str, tuple[str, Callable[[str], int | str | None], str]] = {
    "time": ("time_limit", parse_time, "30 (minutes), 1:00:00 or 2-12:00"),
    "partition": ("partition", _matching(NAMES), "batch"),
    "nodes": ("nodes", _parse_number, "2"),
    "ntasks": ("ntasks", _parse_number, "4"),
    "cpus-per-task": ("cpus_per_task", _parse_number, "8"),
    "mem": ("memory", _parse_memory, "4G"),
    "gres": ("gres", _matching(GRES), "gpu:a100:2"),
    "job-name": ("comment", _matching(COMMENT), "training-run-7"),
}
