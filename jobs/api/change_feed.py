"""`changed_since`: lists jobs in the order of their last changes, so that a caller can follow all changes.

`changed_at` is set shortly before the commit, so two changes may be committed in the other order. A page therefore ends
`queries.SETTLED` before now: by then all earlier changes are committed, and no change is missed. A transaction that
takes longer than that to commit could be missed; no transaction of the service does.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.response import Response

from controlplane.api.pages import all_shown
from controlplane.errors import Invalid
from jobs import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from controlplane.api.pages import Kind
    from controlplane.reach import Reached
    from jobs.models import Job

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**63 - 1


def change_page(request: Request, jobs: Reached[Job], query: Mapping[str, Any], kind: Kind) -> Response:
    """`{"items", "next"}`, as in other lists, but `next` is always an address: the caller continues there."""
    begin, after = query["changed_since"], None
    if "cursor" in query:
        begin, after = _place(query["cursor"])
    found = list(queries.changed(jobs, begin, after=after)[: query.get("limit", settings.API_PAGE)])
    if found:
        begin, after = found[-1].changed_at, found[-1].pk
    return Response({"items": all_shown(kind, found), "next": _address(request, begin, after)})


def _address(request: Request, begin: datetime, after: int | None) -> str:
    parameters = request.query_params.copy()
    if after is not None:
        place = f"{(begin - _EPOCH) // timedelta(microseconds=1)}.{after}"
        parameters["cursor"] = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
    return f"{request.path}?{parameters.urlencode()}"


def _place(cursor: str) -> tuple[datetime, int]:
    try:
        micros, _, pk = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(".")
        if not (micros.isdigit() and pk.isdigit()) or int(pk) > _LARGEST:
            raise ValueError
        return _EPOCH + timedelta(microseconds=int(micros)), int(pk)
    except (binascii.Error, ValueError, OverflowError):
        raise Invalid({"cursor": "There is no such page: take it from `next` of the page before."}) from None
