"""Speaking to a site, and what its silence means to the jobs that wait for it.

Silence changes no state. It opens the site's breaker, and waiting jobs say so to their owners until the site answers.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from jobs import lanes, lifecycle, nudge
from jobs.models import Job
from jobs.states import State
from sites import health
from sites.connecting import connector_for
from sites.connectors.base import Connector, Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from sites.models import Site

logger = logging.getLogger(__name__)

REASON = "SiteSilent"
_WAITING = (State.QUEUED, State.SUBMITTING)


@contextmanager
def speaking_to(site: Site) -> Iterator[Connector]:
    """The site's connector, for one call. Holds no database connection meanwhile.

    Raises `Unreachable` once the breaker is open. A call refused as a whole is silence too: it says something about
    the site (its account, its folder), and the jobs wait until its operator has seen to that.
    """
    lanes.lend_connection()
    try:
        yield connector_for(site)
    except (Unreachable, Rejected) as error:
        fell_silent(site, error.message)
        raise Unreachable(error.message) from error
    if health.answered(site, now=timezone.now()):
        answers_again(site)


def fell_silent(site: Site, why: str) -> None:
    """Open the breaker, or keep it open, and tell the waiting jobs that do not say so yet."""
    if health.silent(site, why, now=timezone.now()):
        logger.warning("site silent", extra={"site": site.slug, "why": why})
    since = f"{site.silent_since:%H:%M} UTC" if site.silent_since else "now"
    message = f"{site.name} has not answered since {since} ({site.silence.rstrip('.')}). The pod starts when it does."
    _tell(Job.objects.filter(site=site, state__in=_WAITING).exclude(reason=REASON), REASON, message)


def answers_again(site: Site) -> None:
    """Take the sentence back, and have the work that waited looked at."""
    logger.warning("site answers again", extra={"site": site.slug})
    _tell(Job.objects.filter(site=site, state__in=_WAITING, reason=REASON), "", "")
    for work in ("submit", "poll", "cancel", "clean"):
        nudge.nudge(work, site.pk)


def _tell(jobs: QuerySet[Job], reason: str, message: str) -> None:
    """Rewrite what these jobs say, a bounded batch at a time, each job once."""
    last = 0
    while batch := list(jobs.filter(pk__gt=last).order_by("pk").values_list("pk", "attempt")[: settings.BATCH_JOBS]):
        last = batch[-1][0]
        said = {"reason": reason, "message": message}
        lifecycle.move([lifecycle.Move(pk, attempt, changes=said) for pk, attempt in batch], now=timezone.now())
