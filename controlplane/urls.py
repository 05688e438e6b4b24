"""Every address except /status, which `controlplane/wsgi.py` serves before Django."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from controlplane import probes
from controlplane.auth.tokens import endpoint
from jobs import metrics

urlpatterns = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", metrics.metrics),
    path("", include("jobs.interlink.urls")),
    path("api/v1/", include("controlplane.api_urls")),
    path("oauth2/token", endpoint.token),
    path("", include("controlplane.auth.login.urls")),
    path("admin/", admin.site.urls),
]
