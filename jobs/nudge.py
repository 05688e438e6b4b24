"""Tells a worker, after the commit, that there is work at a site. A nudge may be lost: the tick finds the row.

This is a port: jobs/apps.py sets the sender when the app starts, so that callers do not depend on Celery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from django.db import transaction

Work = Literal["submit", "cancel", "poll", "clean"]
#: Carries one nudge to the site with this id. It must not raise: the request that nudges is already committed.
Sender = Callable[[Work, int], None]

_sender: Sender | None = None


def send_by(sender: Sender | None) -> None:
    """Sets the sender of all later nudges. None sends nothing, as before the first call."""
    global _sender
    _sender = sender


def nudge(work: Work, site_id: int) -> None:
    """Sends a nudge once this transaction has committed; at once where there is no transaction."""
    if _sender is not None:
        sender = _sender
        transaction.on_commit(lambda: sender(work, site_id))
