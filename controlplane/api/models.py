"""What the REST API keeps between two requests."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class KeptAnswer(models.Model):
    """What was answered to a request of the API with an Idempotency-Key, for KEEP_ANSWERS.

    name: SHA-256 over caller, method, address and key; request: over the body. answer: sealed, since it may hold a
    token that is shown once; committed by the transaction that does the work.
    """

    name = models.BinaryField(max_length=32, unique=True)
    request = models.BinaryField(max_length=32)
    answer = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        app_label = "jobs"  # where its table and its migrations are: this package is no app of Django's

    def __str__(self) -> str:
        return bytes(self.name).hex()
