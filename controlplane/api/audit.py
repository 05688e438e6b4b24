"""/audit: the trail, page by page, or all of it as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer

from controlplane.api.bodies import asked
from controlplane.api.pages import PageQuery, behind, page, pages_of
from controlplane.api.schema import operation
from controlplane.api.views import ApiView, rows_within
from controlplane.audit.models import Event
from controlplane.auth.roles import Action
from controlplane.tenants.models import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request

_BATCH = 500


class JsonLines(BaseRenderer):
    """One JSON object a line, for log collectors. The view streams it by itself; errors are problems as ever."""

    media_type = "application/jsonl"
    format = "jsonl"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return JSONRenderer().render(data)


class EventOut(serializers.ModelSerializer[Event]):
    tenant = serializers.CharField(allow_null=True, read_only=True, help_text="the slug")

    class Meta:
        model = Event
        fields = read_only_fields = [
            "id", "at", "actor_kind", "actor_id", "actor", "token_id", "address", "verb", "object_kind", "object_id",
            "tenant", "site", "outcome", "request_id", "changes",
        ]  # fmt: skip


class AuditQuery(PageQuery):
    actor = serializers.CharField(max_length=255, required=False, help_text="a name, or kind:id as in person:7")
    verb = serializers.CharField(max_length=50, required=False, help_text="token.revoke; or token for all of a token's")
    object = serializers.CharField(max_length=131, required=False, help_text="a kind, or kind:id as in node:7")
    tenant = serializers.SlugField(max_length=63, required=False)
    site = serializers.SlugField(max_length=63, required=False)
    outcome = serializers.ChoiceField(Event.Outcome.choices, required=False)
    until = serializers.DateTimeField(required=False, help_text="before this moment")

    def get_fields(self) -> dict[str, Any]:
        """With `from`, which Python keeps for itself."""
        begin = serializers.DateTimeField(required=False, help_text="from this moment on")
        return {**super().get_fields(), "from": begin}


class Audit(ApiView):
    actions = {"GET": Action.AUDIT_READ}
    renderer_classes = [JSONRenderer, JsonLines]

    @operation(
        "listAuditEvents",
        "Read the audit trail",
        query=AuditQuery,
        answers={(200, "application/json"): pages_of(EventOut), (200, "application/jsonl"): OpenApiTypes.STR},
        errors=[404],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Newest first. With `format=jsonl`, or `Accept: application/jsonl`, all that there is, one event a line."""
        query = asked(request, AuditQuery)
        rows = self._rows(query)
        if isinstance(request.accepted_renderer, JsonLines):
            return StreamingHttpResponse(
                self._lines(behind(rows, query), query.get("limit")), content_type="application/jsonl"
            )
        return page(request, rows, query, _shown)

    def _rows(self, query: Mapping[str, Any]) -> QuerySet[Event]:
        rows = Event.objects.filter(*_conditions(query))
        if not self.reach.everything:
            rows = rows.filter(Q(tenant_id__in=self.reach.tenants) | Q(site__in=self.reach.sites))
        slug = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("slug")
        return rows.annotate(tenant=Subquery(slug))

    def _lines(self, rows: QuerySet[Event], left: int | None) -> Iterator[bytes]:
        """In batches, each in a transaction of its own: the request's is over when this is sent."""
        while left is None or left > 0:
            with rows_within(self.reach, self.caller):
                batch = list(rows.order_by("-pk")[: _BATCH if left is None else min(left, _BATCH)])
            yield b"".join(orjson.dumps(_shown(event), option=orjson.OPT_APPEND_NEWLINE) for event in batch)
            if len(batch) < _BATCH:
                return
            rows = rows.filter(pk__lt=batch[-1].pk)
            left = None if left is None else left - len(batch)


def _conditions(query: Mapping[str, Any]) -> list[Q]:
    return [_CONDITIONS[name](value) for name, value in query.items() if name in _CONDITIONS]


def _verb(text: str) -> Q:
    return Q(verb=text) | Q(verb__startswith=f"{text}.")


def _object(text: str) -> Q:
    kind, _, number = text.partition(":")
    return Q(object_kind=kind, object_id=number) if number else Q(object_kind=kind)


def _actor(text: str) -> Q:
    kind, _, number = text.partition(":")
    by_name = Q(actor=text)
    if number.isascii() and number.isdigit() and len(number) < 19:
        return by_name | Q(actor_kind=kind, actor_id=int(number))
    return by_name


_CONDITIONS: dict[str, Callable[[Any], Q]] = {
    "actor": _actor,
    "verb": _verb,
    "object": _object,
    "tenant": lambda slug: Q(tenant_id__in=Tenant.objects.filter(slug=slug).values("pk")),
    "site": lambda slug: Q(site=slug),
    "outcome": lambda outcome: Q(outcome=outcome),
    "from": lambda moment: Q(at__gte=moment),
    "until": lambda moment: Q(at__lt=moment),
}


def _shown(event: Event) -> dict[str, Any]:
    return dict(EventOut(event).data)
