"""Errors as answers: the right status, one sentence, and nothing of what went wrong inside."""

from __future__ import annotations

import logging

import pytest
from django.db import OperationalError
from django.http import Http404
from rest_framework.exceptions import MethodNotAllowed, NotAuthenticated

from controlplane import errors
from controlplane.answers import Sentence, exception_handler


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadRequest("Say it better."), 400),
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
    assert answer.data["message"][-1] in ".?"
    assert answer.data["code"]
    assert Sentence().render(answer.data).decode() == answer.data["message"]
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_an_unexpected_error_is_logged_by_its_place_and_never_by_its_text(caplog: pytest.LogCaptureFixture) -> None:
    secret = "".join(["hun", "ter", "2"])  # not in the source: frames quote their lines
    try:
        raise ValueError(secret)
    except ValueError as error:
        answer = exception_handler(error, {})
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["kind"] == "ValueError"
    assert "test_answers" in record.__dict__["frames"]
    assert secret not in f"{record.__dict__}{record.getMessage()}{answer.data}"
