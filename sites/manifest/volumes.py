"""Turns the volumes of a pod into files, from the ConfigMaps, Secrets and projected contents that came with it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.errors import BadRequest, Refused
from sites.manifest.shape import boolean, content, dns_label, mapping, mappings, string, whole_number
from sites.workload import File, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = Mapping[str, object]

DEFAULT_MODE = 0o644
ONE_ENTRY = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


@dataclass(frozen=True)
class Sources:
    """The objects that came with a pod, by name. metadata: the pod's own."""

    config_maps: Mapping[str, Json]
    secrets: Mapping[str, Json]
    projected: Mapping[str, Json]
    metadata: Json

    @classmethod
    def of(cls, request: Json, metadata: Json) -> Sources:
        return cls(
            config_maps=_by_name(request, "configmaps"),
            secrets=_by_name(request, "secrets"),
            projected=_by_name(request, "projectedvolumesmaps"),
            metadata=metadata,
        )


def _by_name(request: Json, field: str) -> Mapping[str, Json]:
    """Return the objects of a list by name. The last of several objects with one name counts."""
    named: dict[str, Json] = {}
    for index, item in enumerate(mappings(request.get(field), field)):
        metadata = mapping(item.get("metadata"), f"{field}[{index}].metadata")
        named[string(metadata.get("name"), f"{field}[{index}].metadata.name")] = item
    return named


def parse_volumes(volumes: Sequence[Json], mounted: frozenset[str], sources: Sources) -> tuple[Volume, ...]:
    """Return the volumes that some container mounts. Others may be of any kind and are not sent to the site."""
    parsed: dict[str, Volume] = {}
    for index, volume in enumerate(volumes):
        name = dns_label(volume.get("name"), f"pod.spec.volumes[{index}].name")
        if name in parsed:
            raise BadRequest(f"pod.spec.volumes has the volume {name} twice.")
        if name in mounted:
            parsed[name] = _parse_volume(name, volume, sources)
    for name in sorted(mounted - parsed.keys()):
        raise BadRequest(f"A container mounts the volume {name}, which pod.spec.volumes does not have.")
    return tuple(parsed.values())


def _parse_volume(name: str, volume: Json, sources: Sources) -> Volume:
    kinds = [kind for kind, source in volume.items() if kind != "name" and source is not None]
    # For Kubernetes, a volume without a source is an empty directory.
    kind = kinds[0] if kinds else "emptyDir"
    if kind == "emptyDir":
        return Volume(name, writable=True)
    if kind not in READERS:
        raise Refused(
            f"The volume {name} is of kind {kind}, which does not exist at a batch site; use emptyDir or configMap."
        )
    source = mapping(volume[kind], f"The {kind} of volume {name}")
    return Volume(name, files=_without_conflict(name, READERS[kind](name, source, sources)))


def _config_map_files(name: str, source: Json, sources: Sources) -> list[File]:
    wanted = string(source.get("name"), f"The configMap of volume {name}")
    return _chosen(f"ConfigMap {wanted}", name, source, config_map_data(wanted, sources.config_maps.get(wanted)))


def _secret_files(name: str, source: Json, sources: Sources) -> list[File]:
    wanted = string(source.get("secretName"), f"The secret of volume {name}")
    return _chosen(f"Secret {wanted}", name, source, secret_data(wanted, sources.secrets.get(wanted)))


def _projected_files(name: str, source: Json, sources: Sources) -> list[File]:
    """Return a projected volume's files. The kubelet has already merged its sources into path -> content."""
    found = config_map_data(name, sources.projected.get(name))
    if found is None:
        raise Refused(f"The content of the projected volume {name} did not come with the pod.")
    default = _mode(source.get("defaultMode"), name, DEFAULT_MODE)
    modes = _projected_modes(name, source)
    return [File(_safe_path(path, name), data, modes.get(path) or default) for path, data in found.items()]


def _projected_modes(name: str, source: Json) -> dict[str, int]:
    items = [
        item
        for each in mappings(source.get("sources"), f"The sources of volume {name}")
        for kind in each
        for item in mappings(
            mapping(each[kind], f"A source of volume {name}").get("items"), f"The items of volume {name}"
        )
    ]
    return {string(item.get("path"), f"A path of volume {name}"): _mode(item.get("mode"), name, 0) for item in items}


def _downward_files(name: str, source: Json, sources: Sources) -> list[File]:
    default = _mode(source.get("defaultMode"), name, DEFAULT_MODE)
    files = []
    for item in mappings(source.get("items"), f"The items of volume {name}"):
        path = _safe_path(string(item.get("path"), f"A path of volume {name}"), name)
        field = mapping(item.get("fieldRef"), f"A fieldRef of volume {name}").get("fieldPath")
        value = metadata_field(string(field, f"A fieldPath of volume {name}"), sources.metadata)
        if value is None:
            raise Refused(f"The file {path} of volume {name} asks for {field or 'resources'}, which is not supported.")
        files.append(File(path, value.encode(), _mode(item.get("mode"), name, default)))
    return files


def metadata_field(field: str, metadata: Json) -> str | None:
    """Return a field of the pod's metadata as the downward API writes it; None if we do not support the field."""
    if field in {"metadata.name", "metadata.namespace", "metadata.uid"}:
        return string(metadata.get(field.removeprefix("metadata.")), field)
    if field in {"metadata.labels", "metadata.annotations"}:
        entries = mapping(metadata.get(field.removeprefix("metadata.")), field)
        return "".join(
            f"{key}={json.dumps(string(value, field), ensure_ascii=False)}\n" for key, value in sorted(entries.items())
        )
    if match := ONE_ENTRY.fullmatch(field):
        return string(mapping(metadata.get(match[1]), field).get(match[2]), field)
    return None


READERS = {
    "configMap": _config_map_files,
    "secret": _secret_files,
    "projected": _projected_files,
    "downwardAPI": _downward_files,
}


def config_map_data(name: str, found: Json | None) -> dict[str, bytes] | None:
    """Return the keys and contents of a ConfigMap; None if it is missing. Raises Refused if a value is not base64."""
    if found is None:
        return None
    plain = mapping(found.get("data"), f"The data of {name}")
    binary = mapping(found.get("binaryData"), f"The binaryData of {name}")
    return {
        **{key: content(value, f"The key {key} of {name}") for key, value in plain.items()},
        **{key: _decoded(value, f"The key {key} of the ConfigMap {name}") for key, value in binary.items()},
    }


def secret_data(name: str, found: Json | None) -> dict[str, bytes] | None:
    """Return the keys and contents of a Secret; None if it is missing. Raises Refused if a value is not base64."""
    if found is None:
        return None
    encoded = mapping(found.get("data"), f"The data of the Secret {name}")
    plain = mapping(found.get("stringData"), f"The stringData of the Secret {name}")
    return {
        **{key: _decoded(value, f"The key {key} of the Secret {name}") for key, value in encoded.items()},
        **{key: content(value, f"The key {key} of the Secret {name}") for key, value in plain.items()},
    }


def _decoded(value: object, place: str) -> bytes:
    try:
        # Line breaks are allowed, as in Go's decoder.
        return base64.b64decode(content(value, place).translate(None, b"\r\n"), validate=True)
    except binascii.Error:
        raise Refused(f"{place} is not base64; encode its value.") from None


def _chosen(owner: str, volume: str, source: Json, found: dict[str, bytes] | None) -> list[File]:
    """Return the files of a ConfigMap or Secret volume: one for each key, or for each entry of `items` at its path."""
    optional = boolean(source.get("optional"), f"optional of volume {volume}")
    if found is None and not optional:
        raise Refused(f"The volume {volume} needs the {owner}, which did not come with the pod; create it first.")
    data = found or {}
    default = _mode(source.get("defaultMode"), volume, DEFAULT_MODE)
    if not source.get("items"):
        return [File(_safe_path(key, volume), value, default) for key, value in data.items()]
    files = []
    for item in mappings(source.get("items"), f"The items of volume {volume}"):
        key = string(item.get("key"), f"A key of volume {volume}")
        path = _safe_path(string(item.get("path"), f"A path of volume {volume}"), volume)
        if key in data:
            files.append(File(path, data[key], _mode(item.get("mode"), volume, default)))
        elif not optional:
            raise Refused(f"The {owner} has no key {key}, which the volume {volume} needs.")
    return files


def _mode(value: object, volume: str, default: int) -> int:
    mode = whole_number(value, f"A mode of volume {volume}")
    if mode is None:
        return default
    if not 0 <= mode <= 0o777:
        raise BadRequest(f"A mode of volume {volume} must be between 0 and 0777.")
    return mode


def _safe_path(path: str, volume: str) -> str:
    """Return the path. Raises Refused if it leads out of the volume: the site unpacks it without another check."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in {"", ".", ".."} for part in parts):
        raise Refused(
            f"A path of volume {volume} is empty, absolute or leaves the volume; use relative ones without '..'."
        )
    return path


def _without_conflict(volume: str, files: list[File]) -> tuple[File, ...]:
    """Keep the last file of each path. Raises Refused if a path is both a file and a folder."""
    by_path = {file.path: file for file in files}
    folders = {path[:index] for path in by_path for index, letter in enumerate(path) if letter == "/"}
    for path in sorted(folders & by_path.keys()):
        raise Refused(f"The volume {volume} has {path} both as a file and as a folder.")
    return tuple(by_path.values())
