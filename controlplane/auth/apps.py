from __future__ import annotations

from django.apps import AppConfig


class AuthConfig(AppConfig):
    name = "controlplane.auth"
    label = "isthmus_auth"  # `auth` is Django's own

    def ready(self) -> None:
        """Reads the file of issuers, so that an error in it stops the start and not the first login."""
        from controlplane.auth.oidc import issuers

        issuers.configured()
