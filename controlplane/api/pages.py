"""Rows as callers get them: each by the serializer that describes it, a long list a page at a time.

A page is newest first, and begins behind the last row of the one before: rows that come meanwhile are neither repeated
nor do they push others off a page.
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
    """The parameters of every list; a view's own filters are added in a subclass."""

    cursor = serializers.CharField(max_length=40, required=False, help_text="from `next` of the page before")
    limit = serializers.IntegerField(
        min_value=1, required=False, help_text=f"items on a page; at most {settings.API_PAGE_MOST}"
    )

    def validate_limit(self, value: int) -> int:
        if value > settings.API_PAGE_MOST:
            raise serializers.ValidationError(f"At most {settings.API_PAGE_MOST}.")
        return value


def shown(kind: Kind, row: Any, **context: Any) -> dict[str, Any]:
    """A row as `kind` describes it. context: what a serializer needs beside the row, by its name in its `context`."""
    return dict(kind(row, context=context).data)


def all_shown(kind: Kind, rows: Iterable[Any], **context: Any) -> list[dict[str, Any]]:
    """The same of several."""
    return list(kind(rows, many=True, context=context).data)


def page(request: Request, rows: Reached[Any], query: Mapping[str, Any], kind: Kind, **context: Any) -> Response:
    """`{"items": [...], "next": address or null}` of rows, each as `kind` describes it, by what a PageQuery has read.

    `next` is relative to the service's own address, so that no proxy's idea of it sends a token elsewhere.
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
    """A page of `item`, for the description."""
    name = item.__name__.removesuffix("Out")
    fields = {
        "items": item(many=True),
        "next": serializers.CharField(allow_null=True, help_text="the address of the next page; null on the last one"),
    }
    kind = type(f"{name}Page", (serializers.Serializer,), fields)
    page_of: serializers.Serializer[Any] = kind()
    return page_of


def begin(query: Mapping[str, Any]) -> int | None:
    """The id behind which the page begins, None for the first page. Raises Invalid for a cursor that is none."""
    if "cursor" not in query:
        return None
    cursor = query["cursor"]
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not text.isdigit() or int(text) > _LARGEST_ID:
        raise Invalid({"cursor": "There is no such page: take the cursor from `next` of the page before."})
    return int(text)
