"""`Idempotency-Key`: a creation that is sent twice is done once, and answered twice with the same.

The row that stands for the key is written first, in the transaction that does the work: a second request with the key
waits for the first one's end. What failed was rolled back with it, and may be tried again with the same key.
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
    """The key was used for another request."""

    code = "idempotency_key_reused"
    status = 422


def idempotent(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Of a view's POST handler: with the header, it is done once for each caller with its scopes, address and key."""

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
        kept = _begun(name, body)
        if kept is not None:
            return _repeated(kept, body)
        response = handler(self, request, *args, **kwargs)
        _keep(name, response)
        return response

    once.is_idempotent = True  # type: ignore[attr-defined]  # for the description
    return once


def _begun(name: bytes, body: bytes) -> KeptAnswer | None:
    """Take the key for this transaction; the answer that is there already, where another one had taken it."""
    now = timezone.now()
    KeptAnswer.objects.filter(name=name, created_at__lt=now - timedelta(seconds=settings.KEEP_ANSWERS)).delete()
    # Waits while another transaction has the key and is not over.
    KeptAnswer.objects.bulk_create([KeptAnswer(name=name, request=body, created_at=now)], ignore_conflicts=True)
    row = KeptAnswer.objects.get(name=name)
    return None if row.answer is None else row


def _repeated(kept: KeptAnswer, body: bytes) -> Response:
    if bytes(kept.request) != body:
        raise KeyReused(f"This {HEADER} was used for another request: take a new one for each that you make.")
    try:
        answer = orjson.loads(secrets.unseal(bytes(kept.answer or b""), bound_to=_bound(bytes(kept.name))))
    except secrets.Unsealable as error:
        raise Conflict("This was done before, but its answer was sealed with a key that is gone.") from error
    headers = {"Location": answer["location"]} if answer["location"] else {}
    return Response(answer["data"], status=answer["status"], headers={**headers, REPLAYED: "true"})


def _keep(name: bytes, response: Response) -> None:
    data = orjson.Fragment(JSONRenderer().render(response.data) or b"null")
    told = {"status": response.status_code, "location": response.headers.get("Location", ""), "data": data}
    answer = orjson.dumps(told)
    KeptAnswer.objects.filter(name=name).update(answer=secrets.seal(answer, bound_to=_bound(name)))


def _name(view: ApiView, request: Request, key: str) -> bytes:
    actor, scopes = view.caller.actor, view.caller.rights.scopes
    parts = [actor.kind, "" if actor.id is None else str(actor.id), actor.name if actor.id is None else ""]
    # Not the token, whose successor may repeat what it has begun; but a narrower one of the same owner may not read
    # the answer that a wider one has got, which may hold a token.
    bounds = [None if scopes is None else sorted(scopes), delegation.confined_to(view.caller)]
    return _digest(orjson.dumps([*parts, bounds, request.method, request.path, key]))


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _bound(name: bytes) -> str:
    return f"jobs_keptanswer/answer/{name.hex()}"
