"""What the REST API keeps between two requests."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class KeptAnswer(models.Model):
    """The answer to a request of the API with an Idempotency-Key, kept for ISTHMUS_KEEP_ANSWERS."""

    name = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of caller, method, address and key")
    request = models.BinaryField(max_length=32, help_text="SHA-256 of the request's body")
    answer = models.BinaryField(
        null=True,
        help_text="encrypted, because a token may be in it; committed with the work that it tells of. "
        "Written by controlplane/api/idempotency.py.",
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True, help_text="when the request came")

    class Meta:
        app_label = "jobs"  # where its table and its migrations are: this package is no app of Django's

    def __str__(self) -> str:
        return bytes(self.name).hex()
