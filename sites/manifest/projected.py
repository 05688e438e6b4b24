"""Projected volumes of a pod that no kubelet has prepared: their sources merged into one map of files each. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from controlplane.errors import Refused
from sites.manifest.shape import mapping, mappings, text
from sites.manifest.volumes import READERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.manifest.volumes import Sources

    Json = Mapping[str, object]


def projected_maps(volumes: Sequence[Json], mounted: frozenset[str], sources: Sources) -> list[dict[str, Any]]:
    """A map for each projected volume that is mounted, as a kubelet sends it: the volume's name, path -> content.

    Refused names a source that did not come along, or that only a cluster has (a token of a service account).
    """
    maps = []
    for volume in volumes:
        name = text(volume.get("name"), "The name of a volume")
        if volume.get("projected") is None or name not in mounted:
            continue
        projected = mapping(volume["projected"], f"The projected of volume {name}")
        files: dict[str, str] = {}
        for source in mappings(projected.get("sources"), f"The sources of volume {name}"):
            files |= _files(name, source, sources)
        maps.append({"metadata": {"name": name}, "binaryData": files})
    return maps


def _files(volume: str, source: Json, sources: Sources) -> dict[str, str]:
    given = {kind: mapping(value, f"A source of volume {volume}") for kind, value in source.items() if value}
    for kind in given.keys() - {"configMap", "secret", "downwardAPI"}:
        raise Refused(f"The volume {volume} projects a {kind[:60]}, which does not exist without a cluster; remove it.")
    found: dict[str, str] = {}
    for kind, value in given.items():
        # In a projected volume a Secret is named like a ConfigMap is, by `name`.
        wanted = {**value, "secretName": value.get("name")} if kind == "secret" else value
        files = READERS[kind](volume, wanted, sources)
        found |= {file.path: base64.b64encode(file.content).decode() for file in files}
    return found
