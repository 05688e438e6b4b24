"""Replaces variables that refer to a ConfigMap, a Secret or the pod itself by their values. Pure.

A kubelet does the same for the pods of its cluster. Its rules (core/v1 EnvVar): `envFrom` comes first, `env` overrides
it, and `$(NAME)` in a value is replaced by the variable of that name that was set before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.errors import BadRequest, Refused
from sites.manifest.containers import expand
from sites.manifest.shape import boolean, mapping, mappings, string
from sites.manifest.volumes import config_map_data, metadata_field, secret_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.manifest.volumes import Sources

    Json = Mapping[str, object]

_KINDS = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}


def resolve(container: Json, place: str, sources: Sources) -> dict[str, Any]:
    """Return the container with plain values only. Raises Refused, by name, for an object or key that is missing."""
    variables: dict[str, str] = {}
    for index, each in enumerate(mappings(container.get("envFrom"), f"{place}.envFrom")):
        variables |= _all_of(each, f"{place}.envFrom[{index}]", sources)
    for index, entry in enumerate(mappings(container.get("env"), f"{place}.env")):
        here = f"{place}.env[{index}]"
        name = string(entry.get("name"), f"{here}.name")
        if not name:
            raise BadRequest(f"{here}.name must be a name.")
        value = _value(entry, name, here, variables, sources)
        if value is not None:
            variables[name] = value
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return {**container, "env": env, "envFrom": None}


def _all_of(each: Json, place: str, sources: Sources) -> dict[str, str]:
    """Return the variables of one entry of `envFrom`: one for each key of its object, named by prefix and key."""
    prefix = string(each.get("prefix"), f"{place}.prefix")
    for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
        if each.get(field) is None:
            continue
        reference = mapping(each[field], f"{place}.{field}")
        wanted = string(reference.get("name"), f"{place}.{field}.name")
        found = _data(kind, wanted, sources)
        if found is None:
            if boolean(reference.get("optional"), f"{place}.{field}.optional"):
                return {}
            raise Refused(f"{place} needs the {kind} {wanted}, which did not come with the pod; send it with the pod.")
        return {prefix + key: _as_text(value, f"The key {key} of the {kind} {wanted}") for key, value in found.items()}
    raise BadRequest(f"{place} must have a configMapRef or a secretRef.")


def _value(entry: Json, name: str, place: str, known: Mapping[str, str], sources: Sources) -> str | None:
    """Return the variable's value; None leaves it unset: its reference is optional and its object is missing."""
    plain = string(entry.get("value"), f"{place}.value")
    origin = mapping(entry.get("valueFrom"), f"{place}.valueFrom")
    if plain or not origin:
        return expand(plain, known)
    for kind, field in _KINDS.items():
        if origin.get(field) is not None:
            return _of_key(kind, mapping(origin[field], f"{place}.valueFrom.{field}"), name, place, sources)
    if origin.get("fieldRef") is not None:
        path = string(mapping(origin["fieldRef"], f"{place}.valueFrom.fieldRef").get("fieldPath"), f"{place}.fieldPath")
        value = metadata_field(path, sources.metadata)
        if value is None:
            raise Refused(
                f"The variable {name} of {place} asks for {path[:100]}, which does not exist without a cluster."
            )
        return value
    raise Refused(
        f"The variable {name} of {place} refers to {', '.join(sorted(origin))[:100]}, which is not supported; send its "
        "value instead."
    )


def _of_key(kind: str, reference: Json, name: str, place: str, sources: Sources) -> str | None:
    wanted = string(reference.get("name"), f"{place}.valueFrom.name")
    key = string(reference.get("key"), f"{place}.valueFrom.key")
    found = _data(kind, wanted, sources)
    if found is not None and key in found:
        return _as_text(found[key], f"The key {key} of the {kind} {wanted}")
    if boolean(reference.get("optional"), f"{place}.valueFrom.optional"):
        return None
    if found is None:
        raise Refused(
            f"The variable {name} of {place} needs the {kind} {wanted}, which did not come with the pod; send it with "
            "the pod."
        )
    raise Refused(f"The {kind} {wanted} has no key {key}, which the variable {name} of {place} needs.")


def _data(kind: str, name: str, sources: Sources) -> dict[str, bytes] | None:
    if kind == "ConfigMap":
        return config_map_data(name, sources.config_maps.get(name))
    return secret_data(name, sources.secrets.get(name))


def _as_text(value: bytes, place: str) -> str:
    try:
        return string(value.decode(), place)
    except UnicodeDecodeError:
        raise Refused(f"{place} is not text, so no variable can hold it; mount it as a file.") from None
