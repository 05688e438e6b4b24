"""Usage records of finished attempts."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from controlplane.reach import AtSite
from controlplane.tenants.models import Person, ServiceAccount, Tenant, VirtualNode
from jobs.models.job import Job
from sites.models import Allocation, Site


class UsageRecord(models.Model):
    """What one finished attempt used, from the site's own figures. It outlives its job and is never changed."""

    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, help_text="none once the job is forgotten")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False, help_text="whose pod it was")
    node = models.ForeignKey(
        VirtualNode, on_delete=models.PROTECT, null=True, help_text="the virtual node that the pod came through"
    )
    person = models.ForeignKey(
        Person,
        on_delete=models.SET_NULL,
        null=True,
        related_name="usage",
        help_text="the person who submitted the job; none once the person is removed",
    )
    service = models.ForeignKey(
        ServiceAccount,
        on_delete=models.SET_NULL,
        null=True,
        related_name="usage",
        help_text="the service account that submitted the job; none once it is removed",
    )
    allocation = models.ForeignKey(
        Allocation,
        on_delete=models.SET_NULL,
        null=True,
        related_name="usage",
        db_index=False,
        help_text="whose budget is charged",
    )
    site = models.ForeignKey(Site, on_delete=models.PROTECT, db_index=False, help_text="where it ran")
    attempt_key = models.CharField(max_length=40, unique=True, help_text="the attempt's random name; charged once")
    native_id = models.CharField(max_length=200, help_text="the site's name of the batch job")
    pod = models.CharField(max_length=510, help_text="namespace/name of the pod")
    started_at = models.DateTimeField(null=True, help_text="none if it never began to run")
    ended_at = models.DateTimeField(help_text="by the site's clock, unless it is estimated")
    cpus = models.PositiveIntegerField(help_text="CPUs that the site gave it")
    gpus = models.PositiveIntegerField(help_text="GPUs that the site gave it")
    gpu_kind = models.CharField(max_length=63, blank=True, help_text="the kind of GPU that was asked for")
    nodes = models.PositiveIntegerField(help_text="the site's nodes that it ran on")
    memory = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="bytes that were asked for, over all nodes; 0 left it to the site"
    )
    partition = models.CharField(
        max_length=1100, blank=True, default="", db_default="", help_text="where the job was sent; may be a list"
    )
    qos = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="the scheduler's quality of service asked for"
    )
    account = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="the local account; empty is the site's own"
    )
    owner_issuer = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="the issuer of the person who submitted the job; kept when the person is removed",
    )
    owner_subject = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="that person's name at the issuer; kept when the person is removed",
    )
    submitted_at = models.DateTimeField(null=True, help_text="when the site took the job")
    cpu_seconds = models.PositiveBigIntegerField(help_text="seconds from start to end, times `cpus`")
    gpu_seconds = models.PositiveBigIntegerField(help_text="seconds from start to end, times `gpus`")
    outcome = models.CharField(max_length=10, help_text="the state in which the job ended")
    estimated = models.BooleanField(default=False, help_text="the site gave no times: these are ours")
    recorded_at = models.DateTimeField(help_text="when this record was made")

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
