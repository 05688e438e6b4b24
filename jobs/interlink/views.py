"""The interLink wire, except /status, which is served before Django (status.py).

Errors are one plain sentence: the kubelet shows it to the pod's owner. See docs/interlink-wire.md.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone
from rest_framework.views import APIView

from controlplane.answers import Sentence
from controlplane.audit import actors
from controlplane.auth import callers, token_format
from controlplane.auth.callers import NodeCaller
from controlplane.auth.tokens import authenticate
from controlplane.errors import BadRequest, Forbidden, Unavailable
from controlplane.tenants.scope import seeing
from jobs import admission, cancellation, logs, queries
from jobs.interlink import ping
from jobs.interlink.bodies import json_body
from jobs.interlink.database_outage import outage
from jobs.interlink.last_heard import heard
from sites import manifest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rest_framework.request import Request
    from rest_framework.response import Response

    from jobs.models import Job

#: A container's name: a DNS label (RFC 1123), Kubernetes' own rule.
_CONTAINER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class WireView(APIView):
    """A view for virtual nodes only. `self.caller` is the calling node, which is the one in the path, if any."""

    renderer_classes = [Sentence]
    caller: NodeCaller

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Sentence, str]:  # noqa: FBT001, FBT002  (DRF's signature)
        """Errors are sentences, whatever Accept says: a kubelet cannot make use of a 406."""
        return Sentence(), Sentence.media_type

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not isinstance(request.user, NodeCaller):
            raise Forbidden("Only a virtual node's token is taken here.")
        self.caller = request.user
        self.caller.must_be(kwargs.get("slug"))
        actors.bind(self.caller.actor)
        heard.note(self.caller)

    def rows(self) -> AbstractContextManager[None]:
        """A transaction that sees the calling node's tenant."""
        return seeing(tenants=[self.caller.tenant_id])


class DurableView(WireView):
    """A view for requests that kubelets send once: it outlasts an outage of the database, in authentication too."""

    def perform_authentication(self, request: Request) -> None:
        self.until = time.monotonic() + settings.INTERLINK_RETRY_FOR
        outage.outlast(lambda: request.user, until=self.until)


class Create(DurableView):
    """Stores a pod. Calls no site.

    Takes {"pod", "configmaps", "secrets", "projectedvolumesmaps"}, answers {"PodUID", "PodJID"}.
    """

    def post(self, request: Request, slug: str | None = None) -> HttpResponse:
        body = json_body(request.META)
        pod = manifest.parse(body)
        now = timezone.now()

        def admit() -> Job:
            with self.rows():
                return admission.admit(self.caller, pod, body, now=now)

        answer = {"PodUID": str(pod.uid), "PodJID": outage.outlast(admit, until=self.until).key}
        return HttpResponse(orjson.dumps(answer), content_type="application/json")


class Delete(DurableView):
    """Cancels the job of a v1.Pod. Answers 200 once that is on record, for unknown pods too."""

    def delete(self, request: Request, slug: str | None = None) -> HttpResponse:
        pod: Any = json_body(request.META)
        try:
            uid = UUID(pod["metadata"]["uid"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadRequest("The body must be a pod, with a UUID under metadata.uid.") from None
        now = timezone.now()

        def delete() -> None:
            with self.rows():
                cancellation.delete_pod(self.caller, uid, now=now)

        outage.outlast(delete, until=self.until)
        return HttpResponse("Deleted", content_type="text/plain")

    post = delete


class PingLink(WireView):
    """Answers how large the node is. Never waits for a site, and during an outage repeats its last answer."""

    def perform_authentication(self, request: Request) -> None:
        with outage.attempt():
            super().perform_authentication(request)

    def post(self, request: Request, slug: str | None = None) -> HttpResponse:
        with outage.attempt(), self.rows():
            text = ping.body(self.caller.node_id)
        ping.remember(_digest(request), text)
        return HttpResponse(text, content_type="application/json")

    get = post

    def handle_exception(self, error: Exception) -> Response | HttpResponse:  # type: ignore[override]
        if isinstance(error, Unavailable) and (text := ping.recall(_digest(self.request))):
            return HttpResponse(text, content_type="application/json")
        return super().handle_exception(error)


class Logs(WireView):
    """Streams the log of a container of the calling node's pod.

    Takes {"PodUID", "ContainerName", "Opts"}. Every error comes before the first byte, as one sentence; after it there
    are only the container's bytes.
    """

    def get(self, request: Request, slug: str | None = None) -> StreamingHttpResponse:
        pod_uid, container, options = _log_request(json_body(request.META))
        with self.rows():
            job = queries.pod_for_log(self.caller.node_id, pod_uid)
        container = logs.container_of(job, container)
        stream = logs.open_log(job, container, options, may_read=lambda: self._may_read(request))
        # No charset: these are the container's bytes, whatever they are.
        return StreamingHttpResponse(stream, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    post = get

    def _may_read(self, request: Request) -> bool:
        """Whether the token is still good: many tokens live for minutes only."""
        text = callers.bearer(request.META["HTTP_AUTHORIZATION"])
        return authenticate.node_again(text).node_id == self.caller.node_id


class UpdateCache(WireView):
    """Does nothing: no current kubelet calls it, and nothing here is cached."""

    def post(self, request: Request, slug: str | None = None) -> HttpResponse:
        return HttpResponse("Updated cache", content_type="text/plain")

    get = post


def _digest(request: Request) -> bytes:
    return token_format.digest(callers.bearer(request.META.get("HTTP_AUTHORIZATION", "")))


def _log_request(body: object) -> tuple[UUID, str, logs.LogOptions]:
    if not isinstance(body, dict):
        raise BadRequest('The body must be an object: {"PodUID", "ContainerName", "Opts"}.')
    uid, container = _uid(body.get("PodUID")), body.get("ContainerName")
    if not isinstance(container, str) or not _CONTAINER.fullmatch(container):
        raise BadRequest("ContainerName must be a container's name: small letters, digits and hyphens, at most 63.")
    return uid, container, logs.parse_options(body.get("Opts"), now=timezone.now())


def _uid(text: object) -> UUID:
    try:
        uid = UUID(text) if isinstance(text, str) else None
    except ValueError:
        uid = None
    if uid is None:
        raise BadRequest("PodUID must be the pod's UID, such as 53593d2d-d02f-4769-9cd2-101c1f14f473.")
    return uid
