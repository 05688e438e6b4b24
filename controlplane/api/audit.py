"""/audit: the audit trail, page by page or complete as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer

from controlplane.api.bodies import asked
from controlplane.api.pages import PageQuery, all_shown, begin, page, pages_of
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.audit.models import Event
from controlplane.audit.queries import events
from controlplane.auth.roles import Action
from controlplane.tenants import queries as tenant_queries
from controlplane.tenants.scope import seeing_reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rest_framework.request import Request

    from controlplane.reach import Reached

_BATCH = 500  # events per transaction


class JsonLines(BaseRenderer):
    """One JSON object per line, for log collectors. The view streams the lines itself; this renders only errors."""

    media_type = "application/jsonl"
    format = "jsonl"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return JSONRenderer().render(data)


class EventOut(serializers.ModelSerializer[Event]):
    tenant = serializers.CharField(source="tenant_slug", allow_null=True, read_only=True, help_text="the slug")

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
        """Adds the field `from`, which cannot be a class attribute because Python reserves the word."""
        since = serializers.DateTimeField(required=False, help_text="from this moment on")
        return {**super().get_fields(), "from": since}


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
        """Newest first. With `format=jsonl`, or `Accept: application/jsonl`: all events, one per line."""
        query = asked(request, AuditQuery)
        tenant_ids = tenant_queries.ids_of_slug(query["tenant"]) if "tenant" in query else None
        rows = tenant_queries.with_tenant_slug(events(self.reach, query, tenant_ids=tenant_ids))
        if isinstance(request.accepted_renderer, JsonLines):
            return StreamingHttpResponse(
                self._lines(rows, begin(query), query.get("limit")), content_type="application/jsonl"
            )
        return page(request, rows, query, EventOut)

    def _lines(self, rows: Reached[Event], below: int | None, left: int | None) -> Iterator[bytes]:
        """Yields the JSON lines of `left` events (None: all) whose ids are lower than `below` (None: from the newest).

        Each batch has its own transaction, because the request's transaction has ended when the lines are sent.
        """
        while left is None or left > 0:
            with seeing_reach(self.reach, person=self.caller.person_id):
                batch = list(rows.newest_first(below=below)[: _BATCH if left is None else min(left, _BATCH)])
            lines = (orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in all_shown(EventOut, batch))
            yield b"".join(lines)
            if len(batch) < _BATCH:
                return
            below = batch[-1].pk
            left = None if left is None else left - len(batch)
