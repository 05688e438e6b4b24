"""`Idempotency-Key`: a request that is sent twice is done once, and both times gets the same answer.

The row of the key is inserted first, in the transaction that does the work: a second request with the key waits until
the first request ends. If the first request fails, its rollback removes the row, and the key can be used again.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from controlplane import secrets
from controlplane.api.models import KeptAnswer
from controlplane.auth.tokens import delegation
from controlplane.errors import BadRequest, Conflict, Invalid, IsthmusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

    from controlplane.api.views import ApiView

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_LONGEST = 200
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


class KeyReused(IsthmusError):
    """The key was already used for a different request."""

    code = "idempotency_key_reused"
    status = 422


def idempotent(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Decorates a view's POST handler: with the header, it runs once for each caller, scopes, address and key.

    The decorated handler raises Invalid for a bad key, and BadRequest, KeyReused and Conflict.
    """

    @wraps(handler)
    def once(self: ApiView, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(self, request, *args, **kwargs)
        if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable()):
            raise Invalid({HEADER: f"Send 1 to {_LONGEST} printable ASCII characters, such as a UUID."})
        sent = [sorted(request.query_params.lists()), request.data]
        try:
            body = _digest(orjson.dumps(sent, option=_OPTIONS))
        except orjson.JSONEncodeError:
            raise BadRequest("The body is nested too deep.") from None
        name = _name(self, request, key)
        kept = _claim(name, body)
        if kept is not None:
            return _replayed(kept, body)
        response = handler(self, request, *args, **kwargs)
        data = orjson.Fragment(JSONRenderer().render(response.data) or b"null")
        location = response.headers.get("Location", "")
        answer = orjson.dumps({"status": response.status_code, "location": location, "data": data})
        KeptAnswer.objects.filter(name=name).update(answer=secrets.seal(answer, bound_to=_bound(name)))
        return response

    once.is_idempotent = True  # type: ignore[attr-defined]  # for the OpenAPI description
    return once


def _claim(name: bytes, body: bytes) -> KeptAnswer | None:
    """Claims the key for this transaction. Returns the row with the answer if an earlier request has used the key."""
    now = timezone.now()
    KeptAnswer.objects.filter(name=name, created_at__lt=now - timedelta(seconds=settings.KEEP_ANSWERS)).delete()
    # This INSERT waits while another transaction with the same key is open.
    KeptAnswer.objects.bulk_create([KeptAnswer(name=name, request=body, created_at=now)], ignore_conflicts=True)
    row = KeptAnswer.objects.get(name=name)
    return None if row.answer is None else row


def _replayed(kept: KeptAnswer, body: bytes) -> Response:
    if bytes(kept.request) != body:
        raise KeyReused(f"This {HEADER} was used for another request: use a new one for each request.")
    try:
        answer = orjson.loads(secrets.unseal(bytes(kept.answer or b""), bound_to=_bound(bytes(kept.name))))
    except secrets.Unsealable as error:
        raise Conflict(
            "This request was done before, but its answer cannot be read: its encryption key was removed."
        ) from error
    headers = {"Location": answer["location"]} if answer["location"] else {}
    return Response(answer["data"], status=answer["status"], headers={**headers, REPLAYED: "true"})


def _name(view: ApiView, request: Request, key: str) -> bytes:
    """Returns the SHA-256 of the caller, its limits, the method, the address and the key."""
    actor, scopes = view.caller.actor, view.caller.rights.scopes
    parts = [actor.kind, "" if actor.id is None else str(actor.id), actor.name if actor.id is None else ""]
    # The token itself is left out, so that its successor can repeat the request. Its scopes and tenant are in: a token
    # with fewer rights must not read an answer made for one with more, which may contain a token.
    bounds = [None if scopes is None else sorted(scopes), delegation.confined_to(view.caller)]
    return _digest(orjson.dumps([*parts, bounds, request.method, request.path, key]))


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _bound(name: bytes) -> str:
    return f"jobs_keptanswer/answer/{name.hex()}"
