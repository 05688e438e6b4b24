"""Pods as a virtual kubelet gets them from its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from tests.kubelet_rules import Json


def make_pod(
    name: str = "hello",
    shell: str = "echo hello",
    *,
    namespace: str = "research",
    init: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **more: str,
) -> Json:
    """Return a v1.Pod whose container `main` runs `shell`; `init` and `more` map further containers to commands."""
    spec = {
        "containers": [_container(each, text) for each, text in {"main": shell, **more}.items()],
        "initContainers": [_container(each, text) for each, text in (init or {}).items()] or None,
        "restartPolicy": "Never",
        "volumes": [],
    }
    metadata = {"name": name, "namespace": namespace, "uid": str(uuid4()), "annotations": dict(annotations or {})}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def _container(name: str, shell: str) -> Json:
    return {"name": name, "image": "busybox:1.36", "command": ["/bin/sh", "-c"], "args": [shell], "resources": {}}
