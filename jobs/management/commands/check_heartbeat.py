"""`manage.py check_heartbeat`: checks that a periodic task still runs, for a container's health check."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from jobs.models import Heartbeat

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Fails unless the periodic task ran within so many seconds."
    requires_system_checks: list[str] = []  # it runs every minute and must cost little

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the task, as /metrics shows it")
        parser.add_argument("--within", type=float, default=60, metavar="SECONDS")

    def handle(self, *args: Any, name: str, within: float, **options: Any) -> None:
        heard = Heartbeat.objects.filter(name=name).values_list("at", flat=True).first()
        if heard is None:
            raise CommandError(f"The task {name!r} has never run.")
        age = timezone.now() - heard
        if age > timedelta(seconds=within):
            raise CommandError(f"The task {name!r} last ran {age.total_seconds():.0f} seconds ago.")
