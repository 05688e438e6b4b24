"""Which sites exist, what they offer, who may use how much of them, and which virtual node sends where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models import Tenant, VirtualNode

if TYPE_CHECKING:
    from controlplane.reach import Reach


class Sites(models.QuerySet["Site"]):
    """Sites, and who may see them."""

    def within(self, reach: Reach) -> Sites:
        """Those that a caller's action may touch: of a tenant, the sites where it has an allocation."""
        if reach.everything:
            return self
        theirs = Allocation.objects.filter(tenant__in=reach.tenants).values("site")
        return self.filter(Q(slug__in=reach.sites) | Q(pk__in=theirs))


class Allocations(Reached["Allocation"]):
    """Allocations, and who may see them."""


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

    objects = Sites.as_manager()

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


class Route(models.Model):
    """Where a virtual node sends its pods."""

    node = models.OneToOneField(VirtualNode, on_delete=models.CASCADE, related_name="route")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="routes")

    def __str__(self) -> str:
        return f"{self.node.slug} → {self.site.slug}"


class Allocation(models.Model):
    """What a tenant may use at a site. A limit that is None is none.

    Limits hold for what is queued, pending or running at once: pods, cpus, memory (bytes), gpus ({kind: number}, "" for
    GPUs of any kind together). cpu_hours and gpu_hours are a budget for each `period`. local_account: the account there
    ("" is the site's own); partitions: those allowed, the first one is the default ([] is any); qos: the scheduler's
    quality of service; flavors: names of those allowed. priority: higher ones are submitted first.

    The columns from `used_pods` on are counters over the tenant's jobs, written in the transaction that changes a job
    (jobs/quotas.py): in use now (used_*), seconds reserved by what is in use, seconds spent in this period.
    `manage.py reconcile_allocations` counts them anew. next_start_at: when to look again at what waits for it.
    """

    class Period(models.TextChoices):
        MONTH = "month", "each calendar month"
        QUARTER = "quarter", "each calendar quarter"
        YEAR = "year", "each calendar year"
        WHOLE = "whole", "once, over its whole validity"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="allocations")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="allocations")
    enabled = models.BooleanField(default=True, help_text="off: revoked; what runs may finish, nothing new starts")
    valid_from = models.DateTimeField(default=timezone.now)
    valid_until = models.DateTimeField(null=True, blank=True)

    pods = models.PositiveIntegerField(null=True, blank=True)
    cpus = models.PositiveIntegerField(null=True, blank=True)
    memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes")
    gpus = models.JSONField(default=dict, blank=True, help_text='kind -> number; "" is any kind')
    cpu_hours = models.PositiveBigIntegerField(null=True, blank=True)
    gpu_hours = models.PositiveBigIntegerField(null=True, blank=True)
    period = models.CharField(max_length=10, choices=Period.choices, default=Period.MONTH)
    default_time_limit = models.PositiveIntegerField(default=3600, help_text="seconds, for pods without a deadline")

    priority = models.SmallIntegerField(default=0)
    local_account = models.CharField(max_length=64, blank=True)
    partitions = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    qos = models.CharField(max_length=64, blank=True)
    flavors = ArrayField(models.CharField(max_length=63), default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    used_pods = models.PositiveIntegerField(default=0, editable=False)
    used_cpus = models.PositiveBigIntegerField(default=0, editable=False)
    used_memory = models.PositiveBigIntegerField(default=0, editable=False)
    used_gpus = models.JSONField(default=dict, editable=False)
    reserved_cpu_seconds = models.PositiveBigIntegerField(default=0, editable=False)
    reserved_gpu_seconds = models.PositiveBigIntegerField(default=0, editable=False)
    spent_cpu_seconds = models.PositiveBigIntegerField(default=0, editable=False)
    spent_gpu_seconds = models.PositiveBigIntegerField(default=0, editable=False)
    period_began = models.DateTimeField(null=True, editable=False, help_text="of the period that spent_* is of")
    next_start_at = models.DateTimeField(null=True, editable=False)

    objects = Allocations.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "site"], name="one_allocation_of_a_tenant_at_a_site"),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="an_allocation_ends_after_it_begins",
            ),
            models.CheckConstraint(condition=Q(default_time_limit__gt=0), name="the_default_time_limit_is_positive"),
        ]
        indexes = [
            models.Index(
                fields=["site", "next_start_at"],
                condition=Q(next_start_at__isnull=False),
                name="allocation_due_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} at {self.site}"


class Flavor(models.Model):
    """A named bundle that a pod may ask for at a site: a partition, and what it asks for where the pod does not say.

    cpus, memory (bytes), gpus, time_limit (seconds): defaults, unset where None. largest_*: the most that a pod of this
    flavor may ask for.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="flavors")
    name = models.SlugField(max_length=63)
    description = models.CharField(max_length=200, blank=True)
    partition = models.CharField(max_length=100, blank=True)
    cpus = models.PositiveIntegerField(null=True, blank=True)
    memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes")
    gpus = models.PositiveIntegerField(null=True, blank=True)
    time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="seconds")
    largest_cpus = models.PositiveIntegerField(null=True, blank=True)
    largest_memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes")
    largest_time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="seconds")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="flavor_name_is_the_sites")]

    def __str__(self) -> str:
        return self.name
