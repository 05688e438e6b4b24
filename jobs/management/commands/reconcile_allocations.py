"""`manage.py reconcile_allocations`: counts what allocations have in use and spent anew, and tells any drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from jobs.accounting.recount import reconcile

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Counts every allocation's use anew from the rows. Ends with 1 where a counter is off and not repaired."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="write down what was counted")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        drift = reconcile(repair=repair, now=timezone.now())
        for each in drift:
            self.stdout.write(str(each))
        if drift and not repair:
            raise CommandError(f"{len(drift)} counters are off: run it again with --repair, and tell the developers.")
        self.stdout.write(f"{len(drift)} counters repaired." if drift else "Every counter agrees with the rows.")
