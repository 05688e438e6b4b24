from __future__ import annotations

from django.apps import AppConfig


class AuthConfig(AppConfig):
    name = "controlplane.auth"
    label = "isthmus_auth"  # `auth` is Django's own

    def ready(self) -> None:
        """Refuse start over a wrong file of issuers, rather than the first login."""
        from controlplane.auth.oidc import issuers

        issuers.configured()
