"""Long lists, a page at a time: newest first, and each page begins behind the last row of the one before.

Rows that come meanwhile are neither repeated nor do they push others off a page.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input
from controlplane.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.models import Model, QuerySet
    from rest_framework.request import Request

    Row = TypeVar("Row", bound=Model)

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


def page(
    request: Request, rows: QuerySet[Any], query: Mapping[str, Any], shown: Callable[[Any], Mapping[str, Any]]
) -> Response:
    """`{"items": [...], "next": address or null}` of rows, each as `shown` renders it, by what a PageQuery has read.

    `next` is relative to the service's own address, so that no proxy's idea of it sends a token elsewhere.
    """
    most = query.get("limit", settings.API_PAGE)
    found = list(behind(rows, query).order_by("-pk")[: most + 1])
    following = _address(request, found[most - 1]) if len(found) > most else None
    return Response({"items": [shown(row) for row in found[:most]], "next": following})


def behind(rows: QuerySet[Row], query: Mapping[str, Any]) -> QuerySet[Row]:
    """The rows behind the cursor, where there is one."""
    return rows.filter(pk__lt=_id(query["cursor"])) if "cursor" in query else rows


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


def _address(request: Request, last: Model) -> str:
    parameters = request.query_params.copy()
    parameters["cursor"] = base64.urlsafe_b64encode(str(last.pk).encode()).decode().rstrip("=")
    return f"{request.path}?{parameters.urlencode()}"


def _id(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not text.isdigit() or int(text) > _LARGEST_ID:
        raise Invalid({"cursor": "There is no such page: take the cursor from `next` of the page before."})
    return int(text)
