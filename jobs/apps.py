from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        """Refuse to start without the keys that every stored pod is sealed with; have nudges sent through Celery."""
        from controlplane import secrets
        from jobs import nudge, tasks

        secrets.key_ring()
        nudge.send_by(tasks.send_hint_merged)
