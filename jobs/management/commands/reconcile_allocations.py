"""`manage.py reconcile_allocations`: counts again what allocations have in use and spent, and prints any drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from jobs.accounting.recount import reconcile

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Counts every allocation's use again from the rows. Exits with 1 where a counter is wrong and not repaired."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="write the new counts")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        drift = reconcile(repair=repair, now=timezone.now())
        for each in drift:
            self.stdout.write(str(each))
        if drift and not repair:
            raise CommandError(f"{len(drift)} counters are wrong: run it again with --repair, and tell the developers.")
        self.stdout.write(f"{len(drift)} counters repaired." if drift else "Every counter agrees with the rows.")
