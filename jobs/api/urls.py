"""Every address under /api/v1/. A test walks them all with every role (tests/test_roles.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import path, re_path

from jobs.api.base import Unknown
from jobs.api.description import Docs, openapi

if TYPE_CHECKING:
    from django.urls import URLPattern

urlpatterns: list[URLPattern] = [
    path("openapi.json", openapi, name="openapi"),
    path("docs", Docs.as_view()),
    re_path("", Unknown.as_view()),
]
