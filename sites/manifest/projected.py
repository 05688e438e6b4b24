"""Merges the sources of each projected volume into one map of files, for a pod that comes without a kubelet. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from controlplane.errors import Refused
from sites.manifest.shape import mapping, mappings, string
from sites.manifest.volumes import READERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.manifest.volumes import Sources

    Json = Mapping[str, object]


def projected_maps(volumes: Sequence[Json], mounted: frozenset[str], sources: Sources) -> list[dict[str, Any]]:
    """Return a map for each projected volume that a container mounts, in the form that a kubelet sends.

    That form is a ConfigMap with the volume's name, whose binaryData maps each path to its content. Raises Refused, by
    name, for a source that is missing or that only a cluster has (a service account's token).
    """
    maps = []
    for volume in volumes:
        name = string(volume.get("name"), "The name of a volume")
        if volume.get("projected") is None or name not in mounted:
            continue
        projected = mapping(volume["projected"], f"The projected of volume {name}")
        files: dict[str, str] = {}
        for source in mappings(projected.get("sources"), f"The sources of volume {name}"):
            files |= _files(name, source, sources)
        maps.append({"metadata": {"name": name}, "binaryData": files})
    return maps


def _files(volume: str, source: Json, sources: Sources) -> dict[str, str]:
    sources_by_kind = {kind: mapping(value, f"A source of volume {volume}") for kind, value in source.items() if value}
    for kind in sources_by_kind.keys() - {"configMap", "secret", "downwardAPI"}:
        raise Refused(f"The volume {volume} projects a {kind[:60]}, which does not exist without a cluster; remove it.")
    found: dict[str, str] = {}
    for kind, value in sources_by_kind.items():
        # A projected volume names a Secret in `name`; a Secret volume names it in `secretName`.
        as_volume = {**value, "secretName": value.get("name")} if kind == "secret" else value
        files = READERS[kind](volume, as_volume, sources)
        found |= {file.path: base64.b64encode(file.content).decode() for file in files}
    return found
