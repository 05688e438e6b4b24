"""Annotations that other parts of interLink act upon: one is read, the rest refused by name rather than ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.manifest.flags import ANNOTATION, parse_flags
from sites.manifest.shape import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.workload import NativeFlags

# pre-exec, flavor, mpi-flags, image-root, singularity-*, enroot-*: each is shell, options or paths for the site.
# wstunnel and mesh: commands that open a tunnel into the site's network.
REFUSED_PREFIXES = ("slurm-job.vk.io/", "interlink.eu/wstunnel", "interlink.eu/mesh")


def native_flags(annotations: Mapping[str, object]) -> NativeFlags:
    """The flags a pod carries. Refused names an annotation that would change how the pod runs; empty ones do not."""
    for name, value in annotations.items():
        written = text(value, f"The annotation {name}").strip()
        if written and name != ANNOTATION and name.startswith(REFUSED_PREFIXES):
            raise Refused(f"The annotation {name} is not allowed at this site; remove it from the pod.")
    return parse_flags(text(annotations.get(ANNOTATION), f"The annotation {ANNOTATION}"))
