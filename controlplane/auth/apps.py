from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as admin


class AuthConfig(AppConfig):
    name = "controlplane.auth"
    default = True
    label = "isthmus_auth"  # `auth` is Django's own

    def ready(self) -> None:
        """Reads the file of issuers, so that an error in it stops the start and not the first login."""
        from controlplane.auth.oidc import issuers

        issuers.configured()


class AdminConfig(admin.AdminConfig):
    """Django's admin, on our site."""

    default = False  # "controlplane.auth" in INSTALLED_APPS means the other one
    default_site = "controlplane.auth.admin_site.ScopedAdminSite"
