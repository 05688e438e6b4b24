"""DRF's way in: one class for every bearer token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from rest_framework.authentication import BaseAuthentication

from controlplane.auth import callers
from controlplane.auth.callers import BY_DIGEST, FoundToken, NodeCaller

if TYPE_CHECKING:
    from rest_framework.request import Request


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`. A bare or wrong one is a 401; none at all leaves it to the view's permission."""

    def authenticate(self, request: Request) -> tuple[NodeCaller, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        return callers.memory.caller(callers.bearer(header), find=_find), None

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says is wanted; without it DRF would answer 403."""
        return "Bearer"


def _find(digest: bytes) -> FoundToken | None:
    with connection.cursor() as cursor:
        cursor.execute(BY_DIGEST, [digest])
        row = cursor.fetchone()
    return None if row is None else FoundToken(*row)
