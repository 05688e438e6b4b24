"""Every address under /api/v1/. A test walks them all with every role (tests/test_roles.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import path, re_path

from jobs.api.base import Unknown
from jobs.api.description import Docs, openapi
from jobs.api.job_cancel import JobCancel
from jobs.api.job_log import JobLog
from jobs.api.jobs import JobDetail, Jobs
from jobs.api.sites import SiteDetail, Sites
from jobs.api.usage import Usage

if TYPE_CHECKING:
    from django.urls import URLPattern

urlpatterns: list[URLPattern] = [
    path("jobs", Jobs.as_view()),
    path("jobs/<slug:key>", JobDetail.as_view()),
    path("jobs/<slug:key>/cancel", JobCancel.as_view()),
    path("jobs/<slug:key>/log", JobLog.as_view()),
    path("sites", Sites.as_view()),
    path("sites/<slug:site>", SiteDetail.as_view()),
    path("usage", Usage.as_view()),
    path("openapi.json", openapi, name="openapi"),
    path("docs", Docs.as_view()),
    re_path("", Unknown.as_view()),
]
