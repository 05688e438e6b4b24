"""Speaking to a site, and what its silence means to the jobs that wait for it.

Silence changes no state. It opens the site's breaker, and waiting jobs say so to their owners until the site answers.
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
    """The site's connector, for one call. Holds no database connection meanwhile.

    Raises `Unreachable` once the breaker is open. A call refused as a whole is silence too: it says something about
    the site (its account, its folder), and the jobs wait until its operator has seen to that.
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
    """Open the breaker, or keep it open, and tell the waiting jobs that do not say so yet."""
    if health.silent(site, why, now=timezone.now()):
        logger.warning("site silent", extra={"site": site.slug, "why": why})
    # A held job says why its allocation keeps it, if it does.
    untold = Q(state__in=_WAITING) & ~Q(reason=Reason.SITE_SILENT) | Q(state=State.HELD, reason="")
    uninformed = Job.objects.filter(untold, site=site)
    lifecycle.move_all(
        uninformed, changes={"reason": Reason.SITE_SILENT, "message": health.silence_message(site)}, now=timezone.now()
    )


def answers_again(site: Site) -> None:
    """Take the sentence back, and have the work that waited looked at."""
    logger.warning("site answers again", extra={"site": site.slug})
    informed = Job.objects.filter(site=site, state__in=(State.HELD, *_WAITING), reason=Reason.SITE_SILENT)
    lifecycle.move_all(informed, changes={"reason": "", "message": ""}, now=timezone.now())
    for work in ("submit", "poll", "cancel", "clean"):
        nudge.nudge(work, site.pk)
