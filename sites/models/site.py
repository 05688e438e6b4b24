"""Sites, and their partitions as they describe them."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reach, Reached


class SiteRows(Reached["Site"]):
    """Sites, and who may see them."""

    def within(self, reach: Reach) -> Self:
        """The sites themselves; of a tenant, those where it has an allocation."""
        if reach.everything:
            return self
        theirs = self.model.objects.filter(allocations__tenant__in=reach.tenants).values("pk")
        return self.filter(Q(slug__in=reach.sites) | Q(pk__in=theirs))


class Site(models.Model):
    """An HPC centre's entry point. `config` is the connector's own settings, `credential` its sealed secret.

    The columns from `answered_at` on are health: written by sites/health.py and by polling, read by everything.
    """

    class Kind(models.TextChoices):
        SLURM = "slurm", "Slurm"
        LOCAL = "local", "This host, without a scheduler"
        MEMORY = "memory", "In memory, for tests"

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    config = models.JSONField(default=dict, blank=True)
    credential = models.BinaryField(null=True, blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    poll_interval = models.FloatField(default=5, help_text="seconds between two polls, at least")
    shared_account = models.BooleanField(
        default=False, help_text="whether tenants may share one local account there, and with it each other's files"
    )
    changed_at = models.DateTimeField(auto_now=True)

    answered_at = models.DateTimeField(null=True, editable=False)
    answering_since = models.DateTimeField(null=True, editable=False, help_text="when its last silence ended")
    silent_since = models.DateTimeField(null=True, editable=False)
    silence = models.TextField(blank=True, editable=False, help_text="why the last call had no answer")
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="for the back-off of probes")
    next_probe_at = models.DateTimeField(null=True, editable=False)
    polled_at = models.DateTimeField(null=True, editable=False)
    next_poll_at = models.DateTimeField(default=timezone.now, editable=False)
    next_capacity_at = models.DateTimeField(default=timezone.now, editable=False)

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
        """Whether its breaker is closed, as far as we know."""
        return self.silent_since is None


class Partition(models.Model):
    """A queue of a site, as the site last described it. memory: bytes over all nodes; gpus: kind -> number."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="partitions")
    name = models.CharField(max_length=100)
    nodes = models.PositiveIntegerField()
    cpus = models.PositiveIntegerField()
    memory = models.PositiveBigIntegerField()
    gpus = models.JSONField(default=dict)
    time_limit = models.PositiveIntegerField(null=True, help_text="seconds")
    default = models.BooleanField(default=False)
    up = models.BooleanField(default=True)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="partition_name_is_the_sites")]

    def __str__(self) -> str:
        return f"{self.site.slug}/{self.name}"
