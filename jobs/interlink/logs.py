"""GET /getLogs: one container's output as raw text. What may be asked and how it is read: `jobs/logs/`."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from django.http import StreamingHttpResponse
from django.utils import timezone

from controlplane.auth import callers
from controlplane.auth.tokens import authenticate
from controlplane.errors import BadRequest
from jobs import logs, queries
from jobs.interlink.bodies import json_body
from jobs.interlink.views import WireView

if TYPE_CHECKING:
    from rest_framework.request import Request

#: A container's name: a DNS label (RFC 1123), Kubernetes' own rule.
_CONTAINER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Logs(WireView):
    """Streams the log of a container of the calling node's pod.

    {"PodUID", "ContainerName", "Opts"}; the pod's name and namespace are not needed to find it. Everything that can be
    refused is refused before the first byte, as one sentence; after it there is nothing but the container's bytes.
    """

    def get(self, request: Request, slug: str | None = None) -> StreamingHttpResponse:
        pod_uid, container, options = _asked(json_body(request.META))
        with self.rows():
            job = queries.pod_for_log(self.caller.node_id, pod_uid)
        container = logs.container_of(job, container)
        stream = logs.WhileAllowed(logs.open_log(job, container, options), lambda: self._may_read(request))
        # No charset: these are the container's bytes, whatever they are.
        return StreamingHttpResponse(stream, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    post = get

    def _may_read(self, request: Request) -> bool:
        """The token may have expired meanwhile: many live for minutes."""
        text = callers.bearer(request.META["HTTP_AUTHORIZATION"])
        return authenticate.node_again(text).node_id == self.caller.node_id


def _asked(body: object) -> tuple[uuid.UUID, str, logs.LogOptions]:
    if not isinstance(body, dict):
        raise BadRequest('The body must be an object: {"PodUID", "ContainerName", "Opts"}.')
    uid, container = _uid(body.get("PodUID")), body.get("ContainerName")
    if not isinstance(container, str) or not _CONTAINER.fullmatch(container):
        raise BadRequest("ContainerName must be a container's name: small letters, digits and hyphens, at most 63.")
    return uid, container, logs.parse(body.get("Opts"), now=timezone.now())


def _uid(text: object) -> uuid.UUID:
    try:
        uid = uuid.UUID(text) if isinstance(text, str) else None
    except ValueError:
        uid = None
    if uid is None:
        raise BadRequest("PodUID must be the pod's UID, such as 53593d2d-d02f-4769-9cd2-101c1f14f473.")
    return uid
