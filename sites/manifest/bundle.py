"""A pod with the ConfigMaps and Secrets that it needs, sent without any cluster -> the body of a /create. Pure.

What a cluster and a kubelet do before a pod is sent is done here: it gets its identity, variables get
their values (`references.py`), projected volumes their files (`projected.py`).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from controlplane.errors import BadRequest, Refused
from sites.manifest.projected import projected_maps
from sites.manifest.references import resolve
from sites.manifest.shape import mapping, mappings, text
from sites.manifest.volumes import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Json = Mapping[str, object]

_LISTS = {"List", "PodList", "ConfigMapList", "SecretList"}
_CONTAINERS = ("initContainers", "containers")
#: As Kubernetes ends generated names: no vowels, so that no words come about.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST = 253 - 5


def completed(body: Mapping[str, object], *, namespace: str) -> dict[str, object]:
    """A /create body of {"pod", "configmaps", "secrets"} as people write it; `namespace` where the pod names none.

    BadRequest where it is no pod at all. What is there already stays as it is.
    """
    if not isinstance(body, dict) or not isinstance(body.get("pod"), dict):
        raise BadRequest('The body must be an object with the pod under "pod".')
    pod = body["pod"]
    if pod.get("kind") not in {None, "", "Pod"}:
        raise BadRequest('The manifest must be of kind "Pod"; other kinds are for a cluster to turn into pods.')
    metadata = dict(mapping(pod.get("metadata"), "pod.metadata"))
    metadata["uid"] = metadata.get("uid") or str(uuid4())
    metadata["namespace"] = metadata.get("namespace") or namespace
    if not metadata.get("name") and (prefix := text(metadata.get("generateName"), "pod.metadata.generateName")):
        metadata["name"] = prefix[:_LONGEST] + "".join(secrets.choice(_LETTERS) for _ in range(5))
    return {
        "pod": {**pod, "metadata": metadata},
        "configmaps": body.get("configmaps"),
        "secrets": body.get("secrets"),
        "projectedvolumesmaps": body.get("projectedvolumesmaps"),
    }


def create_body(documents: Sequence[object], *, namespace: str) -> dict[str, Any]:
    """{"pod", "configmaps", "secrets", "projectedvolumesmaps"} of one v1.Pod and what came along with it.

    documents: manifests, or v1.Lists of them. namespace: the pod's where its manifest names none. Its UID is always a
    new one: that of a manifest is another pod's. BadRequest: not one pod, or malformed. Refused: it refers to something
    that did not come along, by name, or holds what is not taken here.
    """
    named: dict[str, list[dict[str, Any]]] = {"Pod": [], "ConfigMap": [], "Secret": []}
    for place, each in _objects(documents):
        named[_kind(each, place)].append(dict(each))
    if len(named["Pod"]) != 1:
        raise BadRequest(f"Send one pod at a time: there are {len(named['Pod'])} objects of `kind: Pod` in the body.")
    pod = named["Pod"][0]
    metadata = {**mapping(pod.get("metadata"), "pod.metadata"), "uid": None}
    along = {"configmaps": named["ConfigMap"], "secrets": named["Secret"]}
    body: dict[str, Any] = completed({"pod": {**pod, "metadata": metadata}, **along}, namespace=namespace)
    pod = body["pod"]
    for each in (*named["ConfigMap"], *named["Secret"]):
        _require_namespace(each, pod["metadata"]["namespace"])
    sources = Sources.of(body, pod["metadata"])
    pod["spec"] = spec = dict(mapping(pod.get("spec"), "pod.spec"))
    for field in _CONTAINERS:
        raw = mappings(spec.get(field), f"pod.spec.{field}")
        spec[field] = [resolve(each, f"pod.spec.{field}[{index}]", sources) for index, each in enumerate(raw)]
    if not spec["containers"]:
        raise BadRequest("pod.spec.containers must have a container.")
    volumes = mappings(spec.get("volumes"), "pod.spec.volumes")
    body["projectedvolumesmaps"] = projected_maps(volumes, _mounted(spec), sources)
    return body


def _mounted(spec: Json) -> frozenset[str]:
    containers = [each for field in _CONTAINERS for each in mappings(spec.get(field), f"pod.spec.{field}")]
    mounts = [mount for each in containers for mount in mappings(each.get("volumeMounts"), "volumeMounts")]
    return frozenset(text(mount.get("name"), "The volume of a mount") for mount in mounts)


def _objects(documents: Sequence[object]) -> Iterator[tuple[str, Json]]:
    """Every object with its place in the body; lists give what they hold."""
    for index, document in enumerate(documents):
        place = "The body" if len(documents) == 1 else f"document {index + 1}"
        each = mapping(document, place)
        if each.get("kind") in _LISTS:
            yield from ((f"items[{at}]", item) for at, item in enumerate(mappings(each.get("items"), "items")))
        else:
            yield place, each


def _kind(each: Json, place: str) -> str:
    kind, version = each.get("kind"), each.get("apiVersion", "v1")
    if not isinstance(kind, str) or not kind:
        raise BadRequest(f"{place} must be a manifest with `apiVersion: v1` and `kind: Pod`, or a list with one.")
    if kind not in {"Pod", "ConfigMap", "Secret"} or version != "v1":
        raise Refused(
            f"{place} is a {kind[:60]} of {str(version)[:60]}: only a v1 Pod, and the ConfigMaps and Secrets that it "
            "needs, are taken here."
        )
    return kind


def _require_namespace(each: Json, namespace: str) -> None:
    metadata = mapping(each.get("metadata"), f"The metadata of a {each['kind']}")
    own = metadata.get("namespace") or namespace
    if own != namespace:
        raise Refused(
            f"The {each['kind']} {str(metadata.get('name'))[:253]} is of the namespace {str(own)[:63]} and the pod of "
            f"{str(namespace)[:63]}: a pod sees its own namespace only."
        )
