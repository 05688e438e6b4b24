"""`manage.py draw_roles`: writes docs/roles.md from the table of roles."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from controlplane.auth import roles


class Command(BaseCommand):
    help = "Writes docs/roles.md from the table in controlplane/auth/roles.py."

    def handle(self, *_args: Any, **_options: Any) -> None:
        page = settings.BASE_DIR / "docs" / "roles.md"
        page.write_text(roles.as_markdown(), encoding="utf-8")
        self.stdout.write(f"{page.relative_to(settings.BASE_DIR)} is drawn.")
