"""The tree of refusals. Each has a code for programs and one sentence for people; nothing of ours is imported here.

`controlplane/answers.py` is the one place that renders them for the web.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class IsthmusError(Exception):
    """Base of every error with a meaning. `message` is one sentence that says what to do."""

    code = "error"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(IsthmusError):
    """The request itself is malformed: not JSON, not a pod, a UID that is no UUID."""

    code = "bad_request"
    status = 400


class Invalid(IsthmusError):
    """Some fields hold what they cannot. errors: field -> one sentence."""

    code = "invalid"
    status = 400

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class Unauthenticated(IsthmusError):
    """No credential. challenge: what WWW-Authenticate says is wanted (RFC 6750)."""

    code = "unauthenticated"
    status = 401
    challenge = "Bearer"


class InvalidToken(Unauthenticated):
    """A token was shown that is not good: mistyped, unknown, expired, revoked, for others, or of nobody any more."""

    challenge = 'Bearer error="invalid_token"'


class Forbidden(IsthmusError):
    """A good credential that does not reach this far."""

    code = "forbidden"
    status = 403


class NotFound(IsthmusError):
    """There is no such thing, or none that this caller may see."""

    code = "not_found"
    status = 404


class NotAllowed(IsthmusError):
    """This address does not take this method."""

    code = "not_allowed"
    status = 405


class Conflict(IsthmusError):
    """Somebody was faster, or what is there already stands against it."""

    code = "conflict"
    status = 409


class TooLarge(IsthmusError):
    """The body is larger than the configured limit."""

    code = "too_large"
    status = 413


class Refused(IsthmusError):
    """A well-formed pod that can never run here."""

    code = "refused"
    status = 422


class TooMany(IsthmusError):
    """More of something at once than its limit; nothing was begun."""

    code = "too_many"
    status = 429


class Unavailable(IsthmusError):
    """A part of ours (the database, usually) does not answer now."""

    code = "unavailable"
    status = 503
