from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        """Refuse to start without the keys that every stored pod is sealed with."""
        from controlplane import secrets

        secrets.key_ring()
