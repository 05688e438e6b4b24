"""Sites, and the partitions that they report."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reach, Reached
from sites.connectors.registry import kinds


class SiteRows(Reached["Site"]):
    """The queryset of sites, with the filter for what a caller may see."""

    def within(self, reach: Reach) -> Self:
        """Keep the sites of this reach, and the sites where one of its tenants has an allocation."""
        if reach.everything:
            return self
        allocated = self.model.objects.filter(allocations__tenant__in=reach.tenants).values("pk")
        return self.filter(Q(slug__in=reach.sites) | Q(pk__in=allocated))


class Site(models.Model):
    """An HPC centre's entry point. Operators change it in Django's admin.

    The columns from `answered_at` on hold the state of its circuit breaker and the times of its polls.
    """

    slug = models.SlugField(max_length=63, unique=True, help_text="its name in addresses and in the API")
    name = models.CharField(max_length=200, help_text="its name for people")
    kind = models.CharField(max_length=20, choices=kinds, help_text="which connector speaks to it")
    config = models.JSONField(default=dict, blank=True, help_text="the connector's own settings (docs/sites.md)")
    credential = models.BinaryField(
        null=True,
        blank=True,
        editable=False,
        help_text="the connector's secret, encrypted. Written by sites/connections.py.",
    )
    enabled = models.BooleanField(default=True, help_text="off: nothing new starts there; what runs may finish")
    poll_interval = models.FloatField(default=5, help_text="seconds between two polls, at least")
    shared_account = models.BooleanField(
        default=False, help_text="whether tenants may share one local account there, and with it each other's files"
    )
    changed_at = models.DateTimeField(auto_now=True, help_text="when an operator last saved it")

    answered_at = models.DateTimeField(
        null=True, editable=False, help_text="when it last answered a call. Written by sites/health.py."
    )
    answering_since = models.DateTimeField(
        null=True, editable=False, help_text="when its last silence ended. Written by sites/health.py."
    )
    silent_since = models.DateTimeField(
        null=True,
        editable=False,
        help_text="when its silence began; none while it answers. Written by sites/health.py.",
    )
    silence = models.TextField(
        blank=True, editable=False, help_text="why the last call had no answer. Written by sites/health.py."
    )
    failures = models.PositiveIntegerField(
        default=0,
        editable=False,
        help_text="unanswered calls in a row, for the back-off of probes. Written by sites/health.py.",
    )
    next_probe_at = models.DateTimeField(
        null=True, editable=False, help_text="when a silent site is asked again. Written by sites/health.py."
    )
    polled_at = models.DateTimeField(
        null=True, editable=False, help_text="when its last poll was answered. Written by jobs/worker/poll.py."
    )
    next_poll_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="when it is polled next. Written by jobs/worker/poll.py."
    )
    next_capacity_at = models.DateTimeField(
        default=timezone.now,
        editable=False,
        help_text="when it is asked for its partitions next. Written by jobs/worker/probe.py.",
    )

    objects = SiteRows.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(silent_since__isnull=True, next_probe_at__isnull=True)
                | Q(silent_since__isnull=False, next_probe_at__isnull=False),
                name="a_silent_site_is_probed",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_answering(self) -> bool:
        """Whether its circuit breaker is closed."""
        return self.silent_since is None


class Partition(models.Model):
    """A queue of a site, as the site last reported it. Written by jobs/worker/probe.py."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="partitions", help_text="whose queue it is")
    name = models.CharField(max_length=100, help_text="the site's own name of it")
    nodes = models.PositiveIntegerField(help_text="how many nodes it has")
    cpus = models.PositiveIntegerField(help_text="CPUs of all its nodes together")
    memory = models.PositiveBigIntegerField(help_text="bytes of all its nodes together")
    gpus = models.JSONField(default=dict, help_text="kind -> number, of all its nodes together")
    time_limit = models.PositiveIntegerField(null=True, help_text="seconds that a job may run; none is without limit")
    default = models.BooleanField(default=False, help_text="where jobs go that name no partition")
    up = models.BooleanField(default=True, help_text="whether it starts jobs")
    seen_at = models.DateTimeField(help_text="when the site last named it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="partition_name_is_the_sites")]

    def __str__(self) -> str:
        return f"{self.site.slug}/{self.name}"
