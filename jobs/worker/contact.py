"""Calls a site, and opens its circuit breaker when it does not answer.

Silence changes no job's state. Waiting jobs get the reason SiteSilent until the site answers again.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from controlplane.database import lend_connection
from jobs import lifecycle, nudge
from jobs.models import Job
from jobs.states import State
from sites import health
from sites.connections import connector_for
from sites.connectors.base import Connector, Rejected, Unreachable
from sites.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.models import Site

logger = logging.getLogger(__name__)

_WAITING = (State.QUEUED, State.SUBMITTING)


@contextmanager
def speaking_to(site: Site) -> Iterator[Connector]:
    """Yields the site's connector for one call. Holds no database connection meanwhile.

    Raises Unreachable, after opening the breaker, when the call fails. A call that is refused as a whole counts as
    silence too: the cause is the site (its account, its folder), and jobs wait until the site's operator has mended it.
    """
    lend_connection()
    try:
        yield connector_for(site)
    except (Unreachable, Rejected) as error:
        fell_silent(site, error.message)
        raise Unreachable(error.message) from error
    if health.answered(site, now=timezone.now()):
        answers_again(site)


def fell_silent(site: Site, why: str) -> None:
    """Opens the breaker, or keeps it open, and writes SiteSilent on the waiting jobs that do not have it yet."""
    if health.silent(site, why, now=timezone.now()):
        logger.warning("site silent", extra={"site": site.slug, "why": why})
    # A held job that already has a reason of its allocation keeps it.
    without_reason = Q(state__in=_WAITING) & ~Q(reason=Reason.SITE_SILENT) | Q(state=State.HELD, reason="")
    waiting = Job.objects.filter(without_reason, site=site)
    lifecycle.move_all(
        waiting, changes={"reason": Reason.SITE_SILENT, "message": health.silence_message(site)}, now=timezone.now()
    )


def answers_again(site: Site) -> None:
    """Clears the silence message and wakes the workers."""
    logger.warning("site answers again", extra={"site": site.slug})
    waiting = Job.objects.filter(site=site, state__in=(State.HELD, *_WAITING), reason=Reason.SITE_SILENT)
    lifecycle.move_all(waiting, changes={"reason": "", "message": ""}, now=timezone.now())
    for work in ("submit", "poll", "cancel", "clean"):
        nudge.nudge(work, site.pk)
