"""Errors as answers: the right status, one sentence, and no internal detail."""

from __future__ import annotations

import logging

import pytest
import structlog
from django.db import OperationalError
from django.http import Http404
from rest_framework.exceptions import MethodNotAllowed, NotAuthenticated, ValidationError
from rest_framework.views import APIView

from controlplane import errors
from controlplane.answers import Sentence, exception_handler
from jobs.interlink.views import WireView


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadRequest("Say it better."), 400),
        (errors.Invalid({"name": "Say it."}), 400),
        (errors.Conflict("It is there."), 409),
        (errors.Unauthenticated("Who?"), 401),
        (errors.Forbidden("No."), 403),
        (errors.Refused("Never."), 422),
        (errors.TooLarge("Less."), 413),
        (errors.Unavailable("Later."), 503),
        (OperationalError("server closed the connection"), 503),
        (NotAuthenticated(), 401),
        (MethodNotAllowed("PUT"), 405),
        (Http404(), 404),
        (RuntimeError("boom"), 500),
    ],
)
def test_every_error_has_its_status_and_a_sentence(error: Exception, status: int) -> None:
    answer = exception_handler(error, {})
    assert answer.status_code == status
    assert answer.data["detail"][-1] in ".?"
    assert answer.data["code"]
    assert Sentence().render(answer.data).decode() == answer.data["detail"]
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_an_unexpected_error_is_logged_with_its_place_and_never_its_text(caplog: pytest.LogCaptureFixture) -> None:
    secret = "".join(["hun", "ter", "2"])  # built at run time, because tracebacks quote source lines
    try:
        raise ValueError(secret)
    except ValueError as error:
        answer = exception_handler(error, {})
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["kind"] == "ValueError"
    assert "test_answers" in record.__dict__["frames"]
    assert secret not in f"{record.__dict__}{record.getMessage()}{answer.data}"


def test_an_api_error_is_a_problem_document() -> None:
    with structlog.contextvars.bound_contextvars(request="r-1"):
        answer = exception_handler(errors.NotFound("There is no such job."), {"view": APIView()})
    assert answer.content_type == "application/problem+json"
    assert answer.data == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such job.",
        "code": "not_found",
        "request_id": "r-1",
    }


def test_an_error_on_the_wire_keeps_the_wires_content_type() -> None:
    answer = exception_handler(errors.NotFound("There is no such pod."), {"view": WireView()})
    assert answer.content_type is None


def test_serializer_errors_are_reported_per_field() -> None:
    complaint = ValidationError(
        {"name": ["Too long."], "inner": {"deep": ["No.", "Not at all."]}, "list": [{}, ["Bad."]]}
    )
    answer = exception_handler(complaint, {})
    assert answer.data["code"] == "invalid"
    assert answer.data["errors"] == [
        {"field": "name", "detail": "Too long."},
        {"field": "inner.deep", "detail": "No. Not at all."},
        {"field": "list.1", "detail": "Bad."},
    ]
