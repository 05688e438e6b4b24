"""The OpenAPI description of /api/v1/: served, shown on browsable pages, and committed as docs/openapi.json."""

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

#: All from our own host. Swagger UI brings its icons as data, and its page a few rules of style.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def document() -> str:
    """The description, as JSON that can be read and compared line by line."""
    patterns = [path("api/v1/", include("controlplane.api_urls"))]
    described: dict[str, Any] = SchemaGenerator(patterns=patterns).get_schema(public=True)  # type: ignore[no-untyped-call]
    for kind, named in schema.components().items():
        described.setdefault("components", {}).setdefault(kind, {}).update(named)
    return json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """/api/v1/openapi.json, for everybody: it tells what can be asked, and nothing of anybody."""
    return HttpResponse(document(), content_type="application/json")


class Docs(SpectacularSwaggerSplitView):
    """/api/v1/docs: the description as pages on which requests can be tried with a token of one's own."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None
    url_name = "openapi"
    title = "Isthmus API"

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response["Content-Security-Policy"] = _POLICY
        return response
