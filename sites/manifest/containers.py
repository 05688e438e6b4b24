"""Parses the containers of a pod: their commands, variables and mounts."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from controlplane.errors import BadRequest, Refused
from sites.manifest.shape import boolean, dns_label, mapping, mappings, string, strings
from sites.workload import Container, Mount

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_container(container: Mapping[str, object], place: str) -> Container:
    """Parse one container. Raises BadRequest if it is malformed, and Refused if a site cannot run it as written."""
    name = dns_label(container.get("name"), f"{place}.name")
    image = string(container.get("image"), f"{place}.image")
    if not image or not image.isprintable():
        raise BadRequest(f"{place}.image must name an image.")
    _refuse_unsupported_fields(container, name)
    working_dir = string(container.get("workingDir"), f"{place}.workingDir")
    if working_dir and not working_dir.startswith("/"):
        raise BadRequest(f"{place}.workingDir must be an absolute path.")
    env = _parse_env(container, place)
    variables = dict(env)
    return Container(
        name=name,
        image=image,
        command=tuple(expand(word, variables) for word in strings(container.get("command"), f"{place}.command")),
        args=tuple(expand(word, variables) for word in strings(container.get("args"), f"{place}.args")),
        env=env,
        working_dir=working_dir,
        mounts=_parse_mounts(container, place),
    )


def _refuse_unsupported_fields(container: Mapping[str, object], name: str) -> None:
    security = mapping(container.get("securityContext"), f"securityContext of container {name}")
    unsupported = {
        "lifecycle": container.get("lifecycle"),
        "volumeDevices": container.get("volumeDevices"),
        "envFrom": container.get("envFrom"),
        "restartPolicy": container.get("restartPolicy"),
        "securityContext.privileged": security.get("privileged"),
        "resources.claims": mapping(container.get("resources"), f"resources of container {name}").get("claims"),
    }
    for field, value in unsupported.items():
        if value:
            raise Refused(f"Container {name} uses {field}, which batch jobs do not support; remove it from the pod.")


def _parse_env(container: Mapping[str, object], place: str) -> tuple[tuple[str, str], ...]:
    variables: dict[str, str] = {}
    for index, entry in enumerate(mappings(container.get("env"), f"{place}.env")):
        here = f"{place}.env[{index}]"
        name = string(entry.get("name"), f"{here}.name")
        if not name or "=" in name:
            raise BadRequest(f"{here}.name must be a name without an equals sign.")
        if entry.get("valueFrom") and not entry.get("value"):
            raise Refused(f"The variable {name} of {place} refers to another object; send its value instead.")
        # As in Kubernetes, a repeated name keeps its first position and takes its last value.
        variables[name] = string(entry.get("value"), f"{here}.value")
    return tuple(variables.items())


def _parse_mounts(container: Mapping[str, object], place: str) -> tuple[Mount, ...]:
    mounts: dict[str, Mount] = {}
    for index, entry in enumerate(mappings(container.get("volumeMounts"), f"{place}.volumeMounts")):
        mount = _parse_mount(entry, f"{place}.volumeMounts[{index}]")
        if mount.path in mounts:
            raise BadRequest(f"{place}.volumeMounts mounts two volumes at {mount.path}.")
        mounts[mount.path] = mount
    return tuple(mounts.values())


def _parse_mount(entry: Mapping[str, object], place: str) -> Mount:
    if entry.get("subPathExpr"):
        raise Refused(f"{place}.subPathExpr is not supported; use subPath.")
    path = string(entry.get("mountPath"), f"{place}.mountPath")
    if not path.startswith("/") or ".." in path.split("/") or posixpath.normpath(path).strip("/") == "":
        raise BadRequest(f"{place}.mountPath must be an absolute path below / without '..'.")
    sub_path = posixpath.normpath(string(entry.get("subPath"), f"{place}.subPath"))
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise BadRequest(f"{place}.subPath must be a relative path without '..'.")
    if any(ord(letter) < ord(" ") for letter in path + sub_path):
        # Apptainer's mount option would turn a carriage return and line feed into a line feed.
        raise Refused(f"{place} holds a control character in a path, which not every site can mount.")
    return Mount(
        volume=dns_label(entry.get("name"), f"{place}.name"),
        path="/" + posixpath.normpath(path).strip("/"),
        sub_path="" if sub_path == "." else sub_path,
        read_only=boolean(entry.get("readOnly"), f"{place}.readOnly"),
    )


def expand(word: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` in a command or argument as Kubernetes does: `$$(NAME)` escapes it, unknown names stay."""
    expanded: list[str] = []
    rest = word
    while rest:
        before, dollar, rest = rest.partition("$")
        expanded.append(before)
        if rest.startswith("$"):
            expanded.append("$")
            rest = rest[1:]
        elif rest.startswith("(") and ")" in rest:
            name, _, rest = rest[1:].partition(")")
            expanded.append(variables.get(name, f"$({name})"))
        else:
            expanded.append(dollar)
    return "".join(expanded)
