"""`manage.py reseal`: all that is stored sealed, under the newest key, so that an older one can be taken away."""

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
    help = "Seals pods' requests and sites' credentials anew with the first of ISTHMUS_ENCRYPTION_KEYS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        done: dict[str, int] = {}
        lost: list[str] = []
        for name, rows, reseal, column in (
            ("requests", Job.objects.filter(request__isnull=False), payload.reseal_request, "request"),
            ("credentials", Site.objects.filter(credential__isnull=False), connections.reseal, "credential"),
        ):
            done[name] = _all(name, rows, reseal, column, lost)
        self.stdout.write(", ".join(f"{number} {name}" for name, number in done.items()) + " were sealed anew.")
        if lost:
            raise CommandError(f"No key of the ring opens these: {', '.join(lost)}.")


def _all(name: str, rows: QuerySet[Any], reseal: Callable[[Any], bool], column: str, lost: list[str]) -> int:
    """A bounded batch in each transaction, its line in the trail with it, so that no worker waits long for a row."""
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
