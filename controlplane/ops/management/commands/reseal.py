"""`manage.py reseal`: encrypts all sealed values again with the newest key, so that older keys can be removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from controlplane.audit import trail
from controlplane.secrets import Unsealable
from jobs import payload
from jobs.models import Job
from sites import connections
from sites.models import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet


class Command(BaseCommand):
    help = "Encrypts pods' requests and sites' credentials again with the first key of ISTHMUS_ENCRYPTION_KEYS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        done: dict[str, int] = {}
        lost: list[str] = []
        for name, rows, reseal, column in (
            ("requests", Job.objects.filter(request__isnull=False), payload.reseal_request, "request"),
            ("credentials", Site.objects.filter(credential__isnull=False), connections.reseal_credential, "credential"),
        ):
            done[name] = _reseal_all(name, rows, reseal, column, lost)
        self.stdout.write(", ".join(f"{number} {name}" for name, number in done.items()) + " were encrypted again.")
        if lost:
            raise CommandError(f"No key of ISTHMUS_ENCRYPTION_KEYS decrypts these: {', '.join(lost)}.")


def _reseal_all(name: str, rows: QuerySet[Any], reseal: Callable[[Any], bool], column: str, lost: list[str]) -> int:
    """Reseals `column` of the rows and returns how many changed; adds rows that no key decrypts to `lost`.

    Each transaction handles one small batch and records it, so that no worker waits long for a locked row.
    """
    number = last = 0
    while True:
        with transaction.atomic():
            batch = list(rows.filter(pk__gt=last).order_by("pk").select_for_update()[: settings.BATCH_JOBS])
            changed = sum(_one(row, reseal, column, lost) for row in batch)
            if changed:
                trail.record("secrets.reseal", "secrets", name, changes={name: changed})
        number += changed
        if not batch:
            return number
        last = batch[-1].pk


def _one(row: Any, reseal: Callable[[Any], bool], column: str, lost: list[str]) -> bool:
    try:
        changed = reseal(row)
    except Unsealable:
        lost.append(str(row))
        return False
    if changed:
        row.save(update_fields=[column])
    return changed
