"""`manage.py drop_old_audit`: drops whole months of the audit trail. Nothing else removes events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from controlplane.audit import months, trail


class Command(BaseCommand):
    help = "Drops the months of the audit trail that are older than ISTHMUS_KEEP_AUDIT. Run it as the database's owner."

    def handle(self, *_args: Any, **_options: Any) -> None:
        with transaction.atomic():
            dropped = months.drop_before(timezone.now() - timedelta(seconds=settings.KEEP_AUDIT))
            if dropped:
                trail.record("audit.drop", "audit", changes={"months": dropped})
        self.stdout.write(f"Dropped {', '.join(dropped)}." if dropped else "No month is old enough to be dropped.")
