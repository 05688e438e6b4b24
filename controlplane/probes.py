"""/healthz and /readyz, for load balancers and Kubernetes. They need no credential, because they reveal nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import Error, connection
from django.http import HttpResponse
from django.views.decorators.http import require_safe
from psycopg_pool import PoolTimeout

if TYPE_CHECKING:
    from django.http import HttpRequest


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answers 200 as long as this process runs."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Answers 200 while PostgreSQL answers, else 503. Redis is not checked: without it all works, only more slowly."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (Error, PoolTimeout):
        return HttpResponse("PostgreSQL does not answer.\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")
