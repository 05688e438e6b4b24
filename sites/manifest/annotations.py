"""Annotations that other parts of interLink act upon: two are read, the rest refused by name rather than ignored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.manifest.flags import ANNOTATION, parse_flags
from sites.manifest.shape import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.workload import NativeFlags

#: The name of a bundle that the site's operator has described (sites.models.Flavor).
FLAVOR = "slurm-job.vk.io/flavor"
NAME = re.compile(r"[\w-]{1,63}", re.ASCII)

# pre-exec, mpi-flags, image-root, singularity-*, enroot-*: each is shell, options or paths for the site.
# wstunnel and mesh: commands that open a tunnel into the site's network.
REFUSED_PREFIXES = ("slurm-job.vk.io/", "interlink.eu/wstunnel", "interlink.eu/mesh")


def native_flags(annotations: Mapping[str, object]) -> NativeFlags:
    """The flags a pod carries. Refused names an annotation that would change how the pod runs; empty ones do not."""
    for name, value in annotations.items():
        written = text(value, f"The annotation {name}").strip()
        if written and name not in {ANNOTATION, FLAVOR} and name.startswith(REFUSED_PREFIXES):
            raise Refused(f"The annotation {name} is not allowed at this site; remove it from the pod.")
    return parse_flags(text(annotations.get(ANNOTATION), f"The annotation {ANNOTATION}"))


def flavor(annotations: Mapping[str, object]) -> str:
    """The name of the flavor that a pod asks for, empty for none. Whether there is one, its site says."""
    name = text(annotations.get(FLAVOR), f"The annotation {FLAVOR}").strip()
    if name and not NAME.fullmatch(name):
        raise Refused(f"The annotation {FLAVOR} must be the name of a flavor: letters, digits, dashes, underscores.")
    return name
