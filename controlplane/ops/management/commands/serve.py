"""`manage.py serve`: runs the web process, for production, the demo and the benchmarks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from controlplane.ops.serve import APPLICATION, granian_command, share_counters

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Serves HTTP with Granian (controlplane/ops/serve.py). On SIGTERM it answers open requests, then exits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--application", default=APPLICATION, help="another WSGI application, for benchmarks")

    def handle(self, *args: Any, **options: Any) -> None:
        share_counters()
        argv = granian_command(host=options["host"], port=options["port"], application=options["application"])
        # exec replaces this process: signals then reach Granian, and the memory that Django uses here is freed.
        os.execv(argv[0], argv)  # noqa: S606
