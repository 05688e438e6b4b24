"""The wire's addresses, at the root and under /vk/<slug>/. /status is not among them: see `controlplane/wsgi.py`."""

from __future__ import annotations

from django.urls import include, path

from jobs.interlink.views import Create, Delete, Logs, PingLink, UpdateCache

_endpoints = [
    path("create", Create.as_view()),
    path("delete", Delete.as_view()),
    path("getLogs", Logs.as_view()),
    path("pinglink", PingLink.as_view()),
    path("updateCache", UpdateCache.as_view()),
]
urlpatterns = [*_endpoints, path("vk/<slug:slug>/", include(_endpoints))]
