"""The OpenAPI description of /api/v1/: served as JSON, shown as web pages, and committed as docs/openapi.json."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from controlplane.api import schema

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

#: Everything comes from our own host. Swagger UI needs `data:` for its icons and inline styles for its page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def description() -> str:
    """Returns the description as indented JSON with sorted keys, so that `diff` shows what changed."""
    patterns = [path("api/v1/", include("controlplane.api_urls"))]
    described: dict[str, Any] = SchemaGenerator(patterns=patterns).get_schema(public=True)  # type: ignore[no-untyped-call]
    for kind, named in schema.components().items():
        described.setdefault("components", {}).setdefault(kind, {}).update(named)
    return json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """/api/v1/openapi.json. Needs no credential: it describes the API and contains no data."""
    return HttpResponse(description(), content_type="application/json")


class Docs(SpectacularSwaggerSplitView):
    """/api/v1/docs: the description as web pages, where people can try requests with their own token."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None
    url_name = "openapi"
    title = "Isthmus API"

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response["Content-Security-Policy"] = _POLICY
        return response
