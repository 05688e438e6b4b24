"""A pod, ConfigMaps and Secrets that come without a cluster -> the body of a /create. Pure.

It does what a cluster and a kubelet do before they send a pod: it gives the pod its identity, variables their values
(`references.py`) and projected volumes their files (`projected.py`).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from controlplane.errors import BadRequest, Refused
from sites.manifest.projected import projected_maps
from sites.manifest.references import resolve
from sites.manifest.shape import mapping, mappings, string
from sites.manifest.volumes import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Json = Mapping[str, object]

_LISTS = {"List", "PodList", "ConfigMapList", "SecretList"}
_CONTAINERS = ("initContainers", "containers")
#: The letters with which Kubernetes ends generated names; without vowels, so that they form no words.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST = 253 - 5


def completed(body: Mapping[str, object], *, namespace: str) -> dict[str, object]:
    """Return a /create body for {"pod", "configmaps", "secrets"} as people write it, with UID, namespace and name set.

    namespace: for a pod that names none. What the pod already has does not change. Raises BadRequest if it is not a
    pod.
    """
    if not isinstance(body, dict) or not isinstance(body.get("pod"), dict):
        raise BadRequest('The body must be an object with the pod under "pod".')
    pod = body["pod"]
    if pod.get("kind") not in {None, "", "Pod"}:
        raise BadRequest('The manifest must be of kind "Pod"; only a cluster can turn other kinds into pods.')
    metadata = dict(mapping(pod.get("metadata"), "pod.metadata"))
    metadata["uid"] = metadata.get("uid") or str(uuid4())
    metadata["namespace"] = metadata.get("namespace") or namespace
    if not metadata.get("name") and (prefix := string(metadata.get("generateName"), "pod.metadata.generateName")):
        metadata["name"] = prefix[:_LONGEST] + "".join(secrets.choice(_LETTERS) for _ in range(5))
    return {
        "pod": {**pod, "metadata": metadata},
        "configmaps": body.get("configmaps"),
        "secrets": body.get("secrets"),
        "projectedvolumesmaps": body.get("projectedvolumesmaps"),
    }


def create_body(documents: Sequence[object], *, namespace: str) -> dict[str, Any]:
    """Build the body {"pod", "configmaps", "secrets", "projectedvolumesmaps"} from manifests.

    documents: one v1.Pod with the ConfigMaps and Secrets that it needs, or v1.Lists of them. namespace: for a pod that
    names none. The pod always gets a new UID: the manifest's UID belongs to another pod. Raises BadRequest if there is
    not exactly one pod or something is malformed, and Refused, by name, for an object that is missing or not supported.
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
    spec: dict[str, Any] = dict(mapping(pod.get("spec"), "pod.spec"))
    pod["spec"] = spec
    for field in _CONTAINERS:
        raw = mappings(spec.get(field), f"pod.spec.{field}")
        spec[field] = [resolve(each, f"pod.spec.{field}[{index}]", sources) for index, each in enumerate(raw)]
    if not spec["containers"]:
        raise BadRequest("pod.spec.containers must have a container.")
    volumes = mappings(spec.get("volumes"), "pod.spec.volumes")
    containers = [each for field in _CONTAINERS for each in spec[field]]
    mounts = [mount for each in containers for mount in mappings(each.get("volumeMounts"), "volumeMounts")]
    mounted = frozenset(string(mount.get("name"), "The volume of a mount") for mount in mounts)
    body["projectedvolumesmaps"] = projected_maps(volumes, mounted, sources)
    return body


def _objects(documents: Sequence[object]) -> Iterator[tuple[str, Json]]:
    """Yield each object with its place in the body; a list yields its items."""
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
            f"{place} is a {kind[:60]} of {str(version)[:60]}: send only a v1 Pod, and the ConfigMaps and Secrets that "
            "it needs."
        )
    return kind


def _require_namespace(each: Json, namespace: str) -> None:
    metadata = mapping(each.get("metadata"), f"The metadata of a {each['kind']}")
    own = metadata.get("namespace") or namespace
    if own != namespace:
        raise Refused(
            f"The {each['kind']} {str(metadata.get('name'))[:253]} is in the namespace {str(own)[:63]} and the pod in "
            f"{str(namespace)[:63]}: a pod sees its own namespace only."
        )
