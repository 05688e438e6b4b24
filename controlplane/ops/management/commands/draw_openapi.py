"""`manage.py draw_openapi`: writes docs/openapi.json from the views."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from controlplane.api import openapi


class Command(BaseCommand):
    help = "Writes docs/openapi.json, the OpenAPI description of /api/v1/, from its views."

    def handle(self, *_args: Any, **_options: Any) -> None:
        page = settings.BASE_DIR / "docs" / "openapi.json"
        page.write_text(openapi.description(), encoding="utf-8")
        self.stdout.write(f"{page.relative_to(settings.BASE_DIR)} is drawn.")
