"""Every request gets an id, one log line and its place in the metrics."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING

import structlog

from controlplane import metrics
from controlplane.audit import actors
from controlplane.audit.actors import Actor

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)


class RequestMiddleware:
    """Binds the request's id (ours, or the one a proxy sent) and the kubelet's session name to the logs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = _sent_id(request) or uuid.uuid4().hex
        began = time.monotonic()
        nobody = Actor("anonymous", address=request.META.get("REMOTE_ADDR", ""), request_id=request_id)
        with (
            actors.acting(nobody),
            structlog.contextvars.bound_contextvars(
                request=request_id, session=request.META.get("HTTP_INTERLINK_HTTP_SESSION", "")[:100]
            ),
        ):
            response = self.get_response(request)
            took = time.monotonic() - began
            route = request.resolver_match.route if request.resolver_match else "unknown"
            metrics.request_done(method=request.method or "", route=route, status=response.status_code, seconds=took)
            logger.info(
                "request",
                extra={
                    "method": request.method,
                    "route": route,
                    "status": response.status_code,
                    "took": round(took, 4),
                },
            )
        response["X-Request-Id"] = request_id
        return response


def _sent_id(request: HttpRequest) -> str:
    sent: str = request.META.get("HTTP_X_REQUEST_ID", "")  # request.headers would parse them all
    return sent if len(sent) <= 64 and sent.replace("-", "").isalnum() else ""
