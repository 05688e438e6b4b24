"""Telling a worker, after the commit, that there is work at a site. A lost nudge is no loss: the tick finds the row.

A port: what carries nudges is set when the app starts (jobs/apps.py), so that those who nudge know of no queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from django.db import transaction

Work = Literal["submit", "cancel", "poll", "clean"]
#: Carries one nudge, for the site with this id. Must raise nothing: the request that nudges has done its work.
Sender = Callable[[Work, int], None]

_sender: Sender | None = None


def send_by(sender: Sender | None) -> None:
    """Have nudges carried by `sender` from now on; None: nothing is sent, as before the first call."""
    global _sender
    _sender = sender


def nudge(work: Work, site_id: int) -> None:
    """Nudge once this transaction has committed; at once where there is none."""
    if _sender is not None:
        sender = _sender
        transaction.on_commit(lambda: sender(work, site_id))
