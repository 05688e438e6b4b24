"""Bodies of /create, as short as a test needs them."""

from __future__ import annotations

import base64
from typing import Any

UID = "65874472-987d-45c2-ba85-74dd068d2b89"


def body(*containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: object) -> dict[str, Any]:
    """Return a /create body with one container unless others are given. Keyword arguments go into the pod's spec."""
    return {
        "pod": {
            "metadata": {"name": "a-pod", "namespace": "research", "uid": UID, "annotations": annotations},
            "spec": {"containers": [container(**each) for each in containers] or [container()], **spec},
        },
        "configmaps": None,
        "secrets": None,
        "projectedvolumesmaps": None,
        "jobscriptURL": "",
    }


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": "busybox:1.36", "command": ["true"], **fields}


def mounting(*volumes: dict[str, Any], mounts: list[dict[str, Any]] | None = None, **objects: Any) -> dict[str, Any]:
    """Return a body whose container mounts every volume at /mnt/<name>, with its ConfigMaps and Secrets."""
    mounts = mounts or [{"name": volume["name"], "mountPath": f"/mnt/{volume['name']}"} for volume in volumes]
    return {**body({"volumeMounts": mounts}, volumes=list(volumes)), **objects}


def config_map(name: str, data: dict[str, str] | None = None, binary: dict[str, bytes] | None = None) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value).decode() for key, value in (binary or {}).items()}
    return {"metadata": {"name": name}, "data": data, "binaryData": encoded or None}


def secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}
