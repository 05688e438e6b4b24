"""What a cluster would have given to a pod before its virtual kubelet saw it: a UID, a name, a namespace."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from uuid import uuid4

from controlplane.errors import BadRequest
from sites.manifest.shape import mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping

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
