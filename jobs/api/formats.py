"""Answers that are not JSON: a container's bytes, and tables for spreadsheets. Errors stay problem documents."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rest_framework.request import Request

#: A cell that begins with one of these is a formula to a spreadsheet, and what it holds may come from a stranger.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class PlainText(JSONRenderer):
    """Of a view that streams: only its errors are rendered, and they are JSON whatever Accept says."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"


class Csv(BaseRenderer):
    """`data["columns"]` and `data["rows"]` as a table; errors as JSON."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if "rows" not in data:
            return JSONRenderer().render(data)
        return table(data["columns"], data["rows"]).encode()


class FirstOrAsked(DefaultContentNegotiation):
    """The view's own format, unless another that it has is asked for: never a refusal for what Accept says."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        own = list(renderers)
        wanted = request.query_params.get("format")
        accepted = request.headers.get("Accept", "")
        for renderer in own[1:]:
            if wanted == renderer.format or (wanted is None and renderer.media_type in accepted):
                return renderer, str(renderer.media_type)
        return own[0], str(own[0].media_type)


def table(columns: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """CSV as RFC 4180 has it, with nothing that a spreadsheet would take for a formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
