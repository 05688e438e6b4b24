"""What POST /jobs and POST /jobs/explain share: the tenant, the site and the manifest of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from controlplane.api.bodies import Input
from controlplane.errors import BadRequest, Invalid
from controlplane.tenants import queries
from sites import manifest

if TYPE_CHECKING:
    from rest_framework.request import Request

    from controlplane.reach import Reach
    from controlplane.tenants.models import Tenant

_JSON = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "train-42"},
    "spec": {
        "activeDeadlineSeconds": 7200,
        "containers": [
            {
                "name": "main",
                "image": "ghcr.io/example/train:2",
                "command": ["python", "train.py"],
                "resources": {"limits": {"cpu": "32", "memory": "128Gi", "nvidia.com/gpu": "1"}},
            }
        ],
    },
}
_YAML = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {LEVEL: "7"}
---
apiVersion: v1
kind: Pod
metadata: {name: train-42}
spec:
  containers:
  - name: main
    image: ghcr.io/example/train:2
    command: [python, train.py]
    envFrom:
    - configMapRef: {name: settings}
"""
MANIFEST = {"application/json": OpenApiTypes.OBJECT, "application/yaml": OpenApiTypes.STR}
EXAMPLES = [
    OpenApiExample("a pod", _JSON, request_only=True, media_type="application/json"),
    OpenApiExample("a pod with a ConfigMap", _YAML, request_only=True, media_type="application/yaml"),
]


class SubmitQuery(Input):
    """The tenant of the job, and the site where it shall run."""

    tenant = serializers.SlugField(required=False, help_text="not needed if you may submit in one tenant only")
    site = serializers.SlugField(required=False, help_text="by default, the best site at which the pod may start")


def body_of(request: Request, tenant: Tenant) -> dict[str, Any]:
    """The body of a /create, as a kubelet would send the pod. Raises BadRequest, and Refused for a wrong manifest."""
    data: Any = request.data
    if "documents" not in data:  # DRF gives this where there is no body
        raise BadRequest("The body must be a manifest with `apiVersion: v1` and `kind: Pod`.")
    return manifest.create_body(data["documents"], namespace=tenant.slug)


def tenant_of(reach: Reach, query: dict[str, Any]) -> Tenant:
    """The tenant of the new job.

    Raises NotFound where it is out of reach, and Invalid where the caller must name one of several.
    """
    if "tenant" in query:
        return queries.tenant(reach, query["tenant"])
    tenants = list(queries.tenants(reach)[:20])
    if len(tenants) != 1:
        names = ", ".join(tenant.slug for tenant in tenants)
        raise Invalid({"tenant": f"Say for which tenant, since you may submit in several: {names}."})
    return tenants[0]
