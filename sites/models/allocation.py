"""Who may use how much of which site."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from controlplane.reach import AtSite
from controlplane.tenants.models import Tenant
from sites.models.site import Site


class Allocation(models.Model):
    """What a tenant may use at a site. A limit that is None is none.

    Limits hold for what is queued, pending or running at once: pods, cpus, memory (bytes), gpus ({kind: number}, "" for
    GPUs of any kind together). cpu_hours and gpu_hours are a budget for each `period`. local_account: the account there
    ("" is the site's own); partitions: those allowed, the first one is the default ([] is any); qos: the scheduler's
    quality of service; flavors: names of those allowed. priority: higher ones are submitted first.

    The columns from `used_pods` on are counters over the tenant's jobs, written in the transaction that changes a job
    (sites/limits.py): in use now (used_*), seconds reserved by what is in use, seconds spent in this period.
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

    objects = AtSite.as_manager()

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
