"""The forms that answers have: errors as problem documents, plain text, and tables for spreadsheets.

The one place that turns errors into answers, for every view of DRF's. Such an answer is an RFC 9457 problem document;
`code` is for programs, `detail` the sentence for people. On the interLink wire that sentence alone is written, since
its clients show the body to the pod's owner.
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
#: Seconds after which a caller may try again what could not be done now.
RETRY_AFTER = 30
#: A cell that begins with one of these is a formula to a spreadsheet, and what it holds may come from a stranger.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Sentence(BaseRenderer):
    """Plain text: the sentence of an error."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return str(data["detail"]).encode()


class PlainText(JSONRenderer):
    """Of a view that streams: only its errors are rendered, and they are JSON whatever Accept says."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"


class Csv(BaseRenderer):
    """`data["columns"]` and `data["rows"]` as a table; errors as JSON."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if "rows" not in data:
            return JSONRenderer().render(data)
        return table(data["columns"], data["rows"]).encode()


class FirstOrAsked(DefaultContentNegotiation):
    """The view's own format, unless another that it has is asked for: never a refusal for what Accept says."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        own = list(renderers)
        wanted = request.query_params.get("format")
        accepted = request.headers.get("Accept", "")
        for renderer in own[1:]:
            if wanted == renderer.format or (wanted is None and renderer.media_type in accepted):
                return renderer, str(renderer.media_type)
        return own[0], str(own[0].media_type)


def table(columns: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """CSV as RFC 4180 has it, with nothing that a spreadsheet would take for a formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER: every exception that leaves a view."""
    known = _known(error)
    headers = {"WWW-Authenticate": known.challenge} if isinstance(known, Unauthenticated) else {}
    if isinstance(known, Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER)
    is_wire = Sentence in getattr(context.get("view"), "renderer_classes", ())
    return Response(
        problem(known), status=known.status, headers=headers, content_type=None if is_wire else PROBLEM_TYPE
    )


def problem(error: IsthmusError) -> dict[str, Any]:
    """An error as RFC 9457 has it, with our code, the request's id, and of invalid input each field's sentence."""
    document = {
        "type": "about:blank",  # the status says it all; what is finer is in `code`
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
    return _unexpected(error)


def _translated(error: APIException) -> IsthmusError:
    """DRF's own refusals: a method that is not allowed, no credential, a parser's or a serializer's complaint."""
    if error.status_code == Unauthenticated.status:
        return Unauthenticated("Send a token in the header `Authorization: Bearer <token>`.")
    if isinstance(error, ValidationError):
        return Invalid(dict(_fields("", error.detail)))
    known = IsthmusError(str(error.detail))
    known.status, known.code = error.status_code, error.default_code
    return known


def _fields(path: str, detail: Any) -> Iterator[tuple[str, str]]:
    """A serializer's complaints, nested as the input is, by dotted path."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = path if name == api_settings.NON_FIELD_ERRORS_KEY else f"{path}.{name}".lstrip(".")
            yield from _fields(own, inner)
    elif isinstance(detail, list) and any(isinstance(each, (dict, list)) for each in detail):
        for number, inner in enumerate(detail):
            yield from _fields(f"{path}.{number}".lstrip("."), inner)
    else:
        yield path, " ".join(str(each) for each in (detail if isinstance(detail, list) else [detail]))


def _unexpected(error: Exception) -> IsthmusError:
    """A fault of ours. Logged with its frames but without its text, which may quote what a pod brought along."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("unexpected error", extra={"kind": type(error).__name__, "frames": frames})
    return IsthmusError(f"Something went wrong on our side; tell the operator the request id {_request_id()}.")


def _request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request", "unknown"))
