"""All errors that callers get. Each has a code for programs and a sentence for people. Imports no module of ours.

`controlplane/answers.py` is the only place that renders them for the web.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class IsthmusError(Exception):
    """Base class of all errors that callers get. `message` is one sentence that says what to do."""

    code = "error"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(IsthmusError):
    """The request is malformed: not JSON, not a pod, a UID that is not a UUID."""

    code = "bad_request"
    status = 400


class Invalid(IsthmusError):
    """Some fields have values that are not allowed. errors: {field: sentence}."""

    code = "invalid"
    status = 400

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class Unauthenticated(IsthmusError):
    """The request has no credential. challenge: the value of WWW-Authenticate (RFC 6750)."""

    code = "unauthenticated"
    status = 401
    challenge = "Bearer"


class InvalidToken(Unauthenticated):
    """The token is not valid: mistyped, unknown, expired, revoked, for another service, or its owner is gone."""

    challenge = 'Bearer error="invalid_token"'


class Forbidden(IsthmusError):
    """The credential is valid, but its owner may not do this."""

    code = "forbidden"
    status = 403


class NotFound(IsthmusError):
    """The object does not exist, or the caller may not see it."""

    code = "not_found"
    status = 404


class NotAllowed(IsthmusError):
    """This address does not take this method."""

    code = "not_allowed"
    status = 405


class Conflict(IsthmusError):
    """The current state does not allow this: for example, the name is taken, or another request was faster."""

    code = "conflict"
    status = 409


class TooLarge(IsthmusError):
    """The body is larger than the configured limit."""

    code = "too_large"
    status = 413


class Refused(IsthmusError):
    """The pod is well-formed but can never run here."""

    code = "refused"
    status = 422


class TooMany(IsthmusError):
    """A limit on rate or number is exceeded; nothing was started."""

    code = "too_many"
    status = 429


class Unavailable(IsthmusError):
    """A component that we need (usually the database) does not answer now; the caller must retry later."""

    code = "unavailable"
    status = 503
