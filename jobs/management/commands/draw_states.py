"""`manage.py draw_states`: writes docs/states.md from the table of moves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from jobs import states


class Command(BaseCommand):
    help = "Draw docs/states.md from the table of moves in jobs/states.py."

    def handle(self, *_args: Any, **_options: Any) -> None:
        page = settings.BASE_DIR / "docs" / "states.md"
        page.write_text(states.states_page(), encoding="utf-8")
        self.stdout.write(f"{page.relative_to(settings.BASE_DIR)} is drawn.")
