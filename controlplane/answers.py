"""Formats of HTTP responses: errors as problem documents, plain text, and CSV tables.

This is the only module that turns exceptions into responses; every DRF view uses it. An error response is an RFC 9457
problem document: `code` is for programs, `detail` is one sentence for people. The interLink wire sends only that
sentence, because its clients show the body to the pod's owner.
"""

from __future__ import annotations

import csv
import io
import logging
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.settings import api_settings

from controlplane.errors import Invalid, IsthmusError, NotFound, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rest_framework.request import Request

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
#: Retry-After of a 503 response, in seconds.
RETRY_AFTER = 30
#: A spreadsheet runs a cell that begins with one of these as a formula. Cells may hold text from untrusted people.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Sentence(BaseRenderer):
    """Renders an error as its sentence, in plain text."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return str(data["detail"]).encode()


class PlainText(JSONRenderer):
    """For a view that streams plain text itself: renders only its errors, as JSON whatever Accept says."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"


class Csv(BaseRenderer):
    """Renders `data["columns"]` and `data["rows"]` as a CSV table; renders errors as JSON."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if "rows" not in data:
            return JSONRenderer().render(data)
        return csv_table(data["columns"], data["rows"]).encode()


class FirstOrAsked(DefaultContentNegotiation):
    """Picks the view's first renderer, unless `?format=` or Accept names another one of the view. Never answers 406."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        own = list(renderers)
        requested = request.query_params.get("format")
        accepted = request.headers.get("Accept", "")
        for renderer in own[1:]:
            if requested == renderer.format or (requested is None and renderer.media_type in accepted):
                return renderer, str(renderer.media_type)
        return own[0], str(own[0].media_type)


def csv_table(columns: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a table as CSV (RFC 4180). Text that looks like a formula gets a leading apostrophe."""

    def is_formula(value: Any) -> bool:
        return isinstance(value, str) and value.startswith(_FORMULA)

    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(columns)
    writer.writerows([f"'{value}" if is_formula(value) else value for value in row] for row in rows)
    return output.getvalue()


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turns every exception that leaves a view into a response (DRF's EXCEPTION_HANDLER)."""
    known = _known(error)
    headers = {"WWW-Authenticate": known.challenge} if isinstance(known, Unauthenticated) else {}
    if isinstance(known, Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER)
    is_wire = Sentence in getattr(context.get("view"), "renderer_classes", ())
    return Response(
        problem(known), status=known.status, headers=headers, content_type=None if is_wire else PROBLEM_TYPE
    )


def problem(error: IsthmusError) -> dict[str, Any]:
    """Returns an error as an RFC 9457 document, with our code and the request's id; Invalid adds `errors` by field."""
    document = {
        "type": "about:blank",  # RFC 9457: no more than the status says; `code` is more precise
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": _request_id(),
    }
    if isinstance(error, Invalid):
        document["errors"] = [{"field": field, "detail": detail} for field, detail in error.errors.items()]
    return document


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
    # Not a planned error, so a bug of ours. The log gets its frames but not its message, which may quote a pod's data.
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("unexpected error", extra={"kind": type(error).__name__, "frames": frames})
    return IsthmusError(f"Something went wrong on our side; tell the operator the request id {_request_id()}.")


def _translated(error: APIException) -> IsthmusError:
    """Translates DRF's own errors: wrong method, no credential, a body or value that does not parse."""
    if error.status_code == Unauthenticated.status:
        return Unauthenticated("Send a token in the header `Authorization: Bearer <token>`.")
    if isinstance(error, ValidationError):
        return Invalid(dict(_fields("", error.detail)))
    known = IsthmusError(str(error.detail))
    known.status, known.code = error.status_code, error.default_code
    return known


def _fields(path: str, detail: Any) -> Iterator[tuple[str, str]]:
    """Yields (dotted path of the field, sentence) for a serializer's errors, which are nested like the input."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = path if name == api_settings.NON_FIELD_ERRORS_KEY else f"{path}.{name}".lstrip(".")
            yield from _fields(own, inner)
    elif isinstance(detail, list) and any(isinstance(each, (dict, list)) for each in detail):
        for number, inner in enumerate(detail):
            yield from _fields(f"{path}.{number}".lstrip("."), inner)
    else:
        yield path, " ".join(str(each) for each in (detail if isinstance(detail, list) else [detail]))


def _request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request", "unknown"))
