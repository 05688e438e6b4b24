from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "controlplane.tenants"
    verbose_name = "People and tenants"
    label = "tenants"
