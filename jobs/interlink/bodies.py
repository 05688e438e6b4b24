"""Reading a request's body, within the limit and in any number of pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings

from controlplane.errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_PIECE = 64 * 1024


def json_body(environ: WSGIEnvironment) -> Any:
    """The body as JSON. BadRequest where it is none, TooLarge beyond INTERLINK_MAX_BODY bytes.

    Called once the caller is known, so that nobody else makes us read or parse anything.
    """
    body = raw_body(environ)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON (line {error.lineno}, column {error.colno}).") from None


def raw_body(environ: WSGIEnvironment) -> bytes:
    """The body, unparsed. TooLarge beyond INTERLINK_MAX_BODY bytes.

    Not through Django, whose own limit is meant for forms and whose reader knows no body without a length.
    """
    limit: int = settings.INTERLINK_MAX_BODY
    stated = environ.get("CONTENT_LENGTH", "")
    stream = environ["wsgi.input"]
    if stated.isdigit():
        length = int(stated)
        if length > limit:
            _drain(stream, length)
            raise _too_large()
        body = stream.read(length)
    else:
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise _too_large()
    return bytes(body)


def _drain(stream: Any, length: int) -> None:
    """Let a client that is a little over the limit finish, or it sees a reset connection instead of the sentence."""
    left = min(length, 4 * settings.INTERLINK_MAX_BODY)
    while left > 0 and (piece := stream.read(min(left, _PIECE))):
        left -= len(piece)


def _too_large() -> TooLarge:
    megabytes = settings.INTERLINK_MAX_BODY / 2**20
    return TooLarge(
        f"The pod with its ConfigMaps and Secrets is larger than the {megabytes:g} MiB taken here: "
        "move large files to an image or to storage that the site can read."
    )
