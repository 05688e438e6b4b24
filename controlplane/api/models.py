"""The table of kept answers, for repeated requests with an Idempotency-Key."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class KeptAnswer(models.Model):
    """The answer to an API request with an Idempotency-Key, kept for ISTHMUS_KEEP_ANSWERS (seconds)."""

    name = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of caller, method, address and key")
    request = models.BinaryField(max_length=32, help_text="SHA-256 of the request's body")
    answer = models.BinaryField(
        null=True,
        help_text="encrypted, because a token may be in it; committed with the work that it tells of. "
        "Written by controlplane/api/idempotency.py.",
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True, help_text="when the request came")

    class Meta:
        app_label = "jobs"  # the app that has its table and migrations: this package is not a Django app

    def __str__(self) -> str:
        return bytes(self.name).hex()
