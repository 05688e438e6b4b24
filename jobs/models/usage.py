"""What finished attempts used."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from controlplane.reach import AtSite
from controlplane.tenants.models import Person, ServiceAccount, Tenant, VirtualNode
from jobs.models.job import Job
from sites.models import Allocation, Site


class UsageRecord(models.Model):
    """What one finished attempt used, from the site's own figures. Outlives its job.

    estimated: the site gave no times and ours stand in.
    """

    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    node = models.ForeignKey(VirtualNode, on_delete=models.PROTECT, null=True)
    person = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="usage")
    service = models.ForeignKey(ServiceAccount, on_delete=models.SET_NULL, null=True, related_name="usage")
    allocation = models.ForeignKey(
        Allocation, on_delete=models.SET_NULL, null=True, related_name="usage", db_index=False
    )
    site = models.ForeignKey(Site, on_delete=models.PROTECT, db_index=False)
    attempt_key = models.CharField(max_length=40, unique=True)
    native_id = models.CharField(max_length=200)
    pod = models.CharField(max_length=510)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()
    cpus = models.PositiveIntegerField()
    gpus = models.PositiveIntegerField()
    gpu_kind = models.CharField(max_length=63, blank=True)
    nodes = models.PositiveIntegerField()
    cpu_seconds = models.PositiveBigIntegerField()
    gpu_seconds = models.PositiveBigIntegerField()
    outcome = models.CharField(max_length=10)
    estimated = models.BooleanField(default=False)
    recorded_at = models.DateTimeField()

    objects = AtSite.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "ended_at"]),
            models.Index(fields=["site", "ended_at"]),
            models.Index(fields=["allocation", "ended_at"]),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(started_at__isnull=True) | Q(started_at__lte=F("ended_at")), name="usage_runs_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pod}: {self.cpu_seconds} CPU s"

    @property
    def cpu_hours(self) -> float:
        return self.cpu_seconds / 3600

    @property
    def gpu_hours(self) -> float:
        return self.gpu_seconds / 3600
