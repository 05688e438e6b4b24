"""The WSGI entry point. jobs/interlink/status.py serves /status without Django; Django serves all other addresses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

django = get_wsgi_application()

from jobs.interlink.status import is_status, status  # noqa: E402  (needs the apps that the line above sets up)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Serves one request."""
    serve = status if is_status(environ["PATH_INFO"]) else django
    return serve(environ, start_response)
