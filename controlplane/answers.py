"""The one place that turns errors into answers, for every view of DRF's.

An answer is `{"code", "message"}`; the view's renderer decides what of it is written. On the interLink wire that is the
message alone, since its clients show the body to the pod's owner.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from controlplane.errors import IsthmusError, NotFound, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rest_framework.parsers import BaseParser
    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class Sentence(BaseRenderer):
    """Plain text: the message of an error."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return str(data["message"]).encode()


class FirstRenderer(BaseContentNegotiation):
    """Answers in the view's own format, whatever Accept says: a kubelet cannot make use of a 406."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return next(iter(parsers), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER: every exception that leaves a view."""
    known = _known(error)
    headers = {"WWW-Authenticate": known.challenge} if isinstance(known, Unauthenticated) else {}
    return Response({"code": known.code, "message": known.message}, status=known.status, headers=headers)


def _known(error: Exception) -> IsthmusError:
    if isinstance(error, IsthmusError):
        return error
    if isinstance(error, Http404):
        return NotFound("There is nothing at this address.")
    if isinstance(error, APIException):
        return _translated(error)
    if isinstance(error, (OperationalError, InterfaceError)):
        logger.warning("database away", extra={"why": type(error).__name__})
        return Unavailable("The database does not answer at the moment; please try again in a minute.")
    return _unexpected(error)


def _translated(error: APIException) -> IsthmusError:
    """DRF's own refusals: a method that is not allowed, no credential, a parser's complaint."""
    if error.status_code == Unauthenticated.status:
        return Unauthenticated("Send a token in the header `Authorization: Bearer <token>`.")
    known = IsthmusError(str(error.detail))
    known.status, known.code = error.status_code, error.default_code
    return known


def _unexpected(error: Exception) -> IsthmusError:
    """A fault of ours. Logged with its frames but without its text, which may quote what a pod brought along."""
    request_id = structlog.contextvars.get_contextvars().get("request", "unknown")
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("unexpected error", extra={"kind": type(error).__name__, "frames": frames})
    return IsthmusError(f"Something went wrong on our side; tell the operator the request id {request_id}.")
