"""`manage.py serve`: the web process, as production, the demo and the benchmarks run it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from controlplane.ops.serve import APPLICATION, granian_command, share_counters

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Serves HTTP with Granian (controlplane/ops/serve.py). SIGTERM stops it once open requests are answered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--application", default=APPLICATION, help="another WSGI application, to measure beside")

    def handle(self, *args: Any, **options: Any) -> None:
        share_counters()
        argv = granian_command(host=options["host"], port=options["port"], application=options["application"])
        # In this process's place, so that signals reach Granian itself and Django's memory here is given back.
        os.execv(argv[0], argv)  # noqa: S606
