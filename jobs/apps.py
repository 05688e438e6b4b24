from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        """Refuses to start without the encryption keys of stored pods, and sends nudges through Celery."""
        from controlplane import secrets
        from jobs import nudge, tasks

        secrets.key_ring()
        nudge.send_by(tasks.send_hint_merged)
