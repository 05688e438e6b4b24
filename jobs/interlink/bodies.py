"""Reads a request's body, within the size limit, with or without a stated length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings

from controlplane.errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_PIECE = 64 * 1024


def json_body(environ: WSGIEnvironment) -> Any:
    """The body as JSON. Raises BadRequest where it is not JSON, TooLarge beyond INTERLINK_MAX_BODY bytes.

    Views call it after authentication, so that strangers cannot make us read or parse anything.
    """
    body = raw_body(environ)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON (line {error.lineno}, column {error.colno}).") from None


def raw_body(environ: WSGIEnvironment) -> bytes:
    """The body as bytes. Raises TooLarge beyond INTERLINK_MAX_BODY bytes.

    It does not use Django's reader, whose limit is for forms and which reads nothing without a stated length.
    """
    limit: int = settings.INTERLINK_MAX_BODY
    stated = environ.get("CONTENT_LENGTH", "")
    stream = environ["wsgi.input"]
    if stated.isdigit():
        length = int(stated)
        if length > limit:
            # Read a body that is a little too long to its end, or the client sees a reset connection, not the error.
            left = min(length, 4 * limit)
            while left > 0 and (piece := stream.read(min(left, _PIECE))):
                left -= len(piece)
            raise _too_large()
        body = stream.read(length)
    else:
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise _too_large()
    return bytes(body)


def _too_large() -> TooLarge:
    megabytes = settings.INTERLINK_MAX_BODY / 2**20
    return TooLarge(
        f"The pod with its ConfigMaps and Secrets is larger than the {megabytes:g} MiB taken here: "
        "move large files to an image or to storage that the site can read."
    )
