"""Renders rows with their serializers, and long lists page by page.

A page is sorted newest first and starts after the last row of the previous page. So new rows, which are inserted while
a caller reads, neither repeat rows nor skip any.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input
from controlplane.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rest_framework.request import Request

    from controlplane.reach import Reached

    Kind = type[serializers.BaseSerializer[Any]]

_LARGEST_ID = 2**63 - 1


class PageQuery(Input):
    """The query parameters of every list; a subclass adds the filters of its view."""

    cursor = serializers.CharField(max_length=40, required=False, help_text="from `next` of the previous page")
    limit = serializers.IntegerField(
        min_value=1, required=False, help_text=f"items on a page; at most {settings.API_PAGE_MOST}"
    )

    def validate_limit(self, value: int) -> int:
        if value > settings.API_PAGE_MOST:
            raise serializers.ValidationError(f"At most {settings.API_PAGE_MOST}.")
        return value


def shown(kind: Kind, row: Any, **context: Any) -> dict[str, Any]:
    """Renders a row with the serializer `kind`. context: other values that the serializer reads from its `context`."""
    return dict(kind(row, context=context).data)


def all_shown(kind: Kind, rows: Iterable[Any], **context: Any) -> list[dict[str, Any]]:
    """Renders several rows with the serializer `kind`; context as in `shown`."""
    return list(kind(rows, many=True, context=context).data)


def page(request: Request, rows: Reached[Any], query: Mapping[str, Any], kind: Kind, **context: Any) -> Response:
    """Returns a page of rows: `{"items": [rendered with `kind`, ...], "next": address or null}`.

    query: the values of a PageQuery. `next` has no host: a host name that a proxy got wrong would send the caller's
    token elsewhere. Raises Invalid for a bad cursor.
    """
    most = query.get("limit", settings.API_PAGE)
    found = list(rows.newest_first(below=begin(query))[: most + 1])
    following = None
    if len(found) > most:
        parameters = request.query_params.copy()
        parameters["cursor"] = base64.urlsafe_b64encode(str(found[most - 1].pk).encode()).decode().rstrip("=")
        following = f"{request.path}?{parameters.urlencode()}"
    return Response({"items": all_shown(kind, found[:most], **context), "next": following})


def pages_of(item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """Returns the serializer of a page of `item`, for the OpenAPI description."""
    name = item.__name__.removesuffix("Out")
    fields = {
        "items": item(many=True),
        "next": serializers.CharField(allow_null=True, help_text="the address of the next page; null on the last one"),
    }
    kind = type(f"{name}Page", (serializers.Serializer,), fields)
    page_of: serializers.Serializer[Any] = kind()
    return page_of


def begin(query: Mapping[str, Any]) -> int | None:
    """Returns the id after which the page starts, None for the first page. Raises Invalid for a bad cursor."""
    if "cursor" not in query:
        return None
    cursor = query["cursor"]
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not text.isdigit() or int(text) > _LARGEST_ID:
        raise Invalid({"cursor": "There is no such page: take the cursor from `next` of the previous page."})
    return int(text)
