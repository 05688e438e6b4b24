"""The durable rows of pods. `lifecycle.py` alone writes `state` and what goes with it."""

from __future__ import annotations

import secrets
from typing import TypeVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import AtSite, Reached
from controlplane.tenants.models import Person, ServiceAccount, Tenant, VirtualNode
from jobs.states import ALIVE, AT_SITE, ENDS, State
from sites.models import Allocation, Site
from sites.workload import JobRef

_STATES = [state.value for state in State]
_ENDS = sorted(ENDS)
_ALIVE = sorted(ALIVE)
_AT_SITE = sorted(AT_SITE)
_OWNED = sorted({State.PENDING, State.RUNNING})
_Row = TypeVar("_Row", bound=models.Model, covariant=True)


def new_key() -> str:
    """160 random bits in lower-case hex: a job's or an attempt's name for the outside world."""
    return secrets.token_hex(20)


class OfJob(Reached[_Row]):
    """Rows with a `job`: they are its tenant's, and its site's."""

    tenant = "job__tenant"
    site = "job__site"


class Job(models.Model):
    """One pod.

    request: the sealed body of /create, NULL after the end. containers: [{"name", "image", "init"}] in the pod's order,
    init containers first. observed: container -> {"started", "ended" (epoch seconds), "code", "restart"}, as far as the
    site told. status_first and status_exact: the answer to /status, ready to send (contracts: jobs/rendering.py).
    reason and message say why it waits or how it ended, for people. The `next_*_at` columns are the work that is due.

    It came through a virtual node, or was submitted by a person or a service account. allocation: what it is counted
    against while `is_counted`, which is from being queued to its end; reserved_*: what of the hours it holds meanwhile.
    """

    # Most moves write to every index of a row: a foreign key that another index begins with has none of its own.
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    node = models.ForeignKey(VirtualNode, on_delete=models.PROTECT, null=True, db_index=False)
    person = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="jobs", db_index=False)
    service = models.ForeignKey(
        ServiceAccount, on_delete=models.SET_NULL, null=True, related_name="jobs", db_index=False
    )
    site = models.ForeignKey(
        Site, on_delete=models.PROTECT, null=True, db_index=False, help_text="none until it is placed"
    )
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, null=True, related_name="jobs")
    key = models.CharField(max_length=40, default=new_key, editable=False)
    pod_uid = models.UUIDField()
    pod_name = models.CharField(max_length=253)
    pod_namespace = models.CharField(max_length=253)
    request = models.BinaryField(null=True, editable=False)
    containers = models.JSONField(default=list)
    cpus = models.PositiveIntegerField(default=1)
    memory = models.PositiveBigIntegerField(default=0)
    gpus = models.PositiveIntegerField(default=0)
    gpu_kind = models.CharField(max_length=63, blank=True)
    flavor = models.CharField(max_length=63, blank=True)
    partition = models.CharField(max_length=1100, blank=True, help_text="as the pod asks for it; may be a list")
    time_limit = models.PositiveIntegerField(null=True, help_text="seconds; the pod's own, else its allocation's")
    is_counted = models.BooleanField(default=False)
    reserved_cpu_seconds = models.PositiveBigIntegerField(default=0)
    reserved_gpu_seconds = models.PositiveBigIntegerField(default=0)
    priority = models.SmallIntegerField(default=0)

    state = models.CharField(max_length=10, choices=[(state.value, state.value) for state in State])
    reason = models.CharField(max_length=100, blank=True)
    message = models.TextField(blank=True)
    observed = models.JSONField(default=dict)
    exit_code = models.IntegerField(null=True)
    status_first = models.TextField()
    status_exact = models.TextField()

    attempt = models.PositiveIntegerField(default=0)
    attempt_key = models.CharField(max_length=40, blank=True)
    folder = models.CharField(max_length=500, blank=True)
    account = models.CharField(max_length=64, blank=True)
    native_id = models.CharField(max_length=200, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now, help_text="of the last move; for `changed_since`")
    submitted_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_reason = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True, help_text="when its kubelet deleted the pod")
    missing_since = models.DateTimeField(null=True, help_text="since when an answering site does not know it")
    polled_minute = models.PositiveBigIntegerField(default=0, help_text="on the node's clock of heard minutes")

    tries = models.PositiveIntegerField(default=0, help_text="silences in a row, for the back-off")
    next_start_at = models.DateTimeField(null=True, help_text="when a held job is looked at next")
    next_submit_at = models.DateTimeField(null=True)
    next_find_at = models.DateTimeField(null=True)
    next_cancel_at = models.DateTimeField(null=True)
    next_archive_at = models.DateTimeField(null=True)
    next_clean_at = models.DateTimeField(null=True)

    objects = AtSite.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key"], name="job_key_is_unique"),
            models.UniqueConstraint(fields=["node", "pod_uid"], name="one_job_for_a_pod_of_a_node"),
            models.CheckConstraint(
                condition=Q(node__isnull=False) | Q(polled_minute=0), name="only_a_node_polls_its_pods"
            ),
            models.CheckConstraint(
                condition=Q(is_counted=True, allocation__isnull=False)
                | Q(is_counted=False, reserved_cpu_seconds=0, reserved_gpu_seconds=0),
                name="what_is_counted_has_an_allocation",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[State.HELD, *_ENDS]) | Q(is_counted=False),
                name="what_waits_or_ended_is_not_counted",
            ),
            models.UniqueConstraint(fields=["attempt_key"], condition=~Q(attempt_key=""), name="attempt_key_is_unique"),
            models.CheckConstraint(condition=Q(state__in=_STATES), name="state_is_known"),
            models.CheckConstraint(
                condition=Q(state__in=_ENDS, ended_at__isnull=False) | (~Q(state__in=_ENDS) & Q(ended_at__isnull=True)),
                name="an_end_has_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=_ENDS) | Q(request__isnull=True), name="an_ended_job_keeps_no_secrets"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[State.HELD, *_ENDS]) | Q(site__isnull=False), name="only_a_held_job_has_no_site"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=_AT_SITE) | ~Q(attempt_key=""), name="an_attempt_is_on_record_before_any_io"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=_OWNED) | ~Q(native_id=""), name="what_a_site_holds_has_its_name"
            ),
            models.CheckConstraint(
                condition=~Q(state=State.QUEUED) | Q(next_submit_at__isnull=False), name="a_queued_job_is_due_some_time"
            ),
            models.CheckConstraint(
                condition=~Q(state=State.SUBMITTING) | Q(next_find_at__isnull=False),
                name="a_submission_is_settled_some_time",
            ),
        ]
        indexes = [
            models.Index(fields=["site", "next_start_at"], condition=Q(state=State.HELD), name="job_due_start"),
            models.Index(fields=["allocation"], condition=Q(state__in=_ALIVE), name="job_alive_of_allocation"),
            models.Index(fields=["tenant", "-id"], name="job_of_tenant"),
            models.Index(fields=["person"], condition=Q(person__isnull=False), name="job_of_person"),
            models.Index(fields=["service"], condition=Q(service__isnull=False), name="job_of_service"),
            models.Index(fields=["changed_at", "id"], name="job_changed"),
            models.Index(fields=["site", "-id"], name="job_at_site"),
            models.Index(fields=["site", "next_submit_at"], condition=Q(state=State.QUEUED), name="job_due_submit"),
            models.Index(fields=["site", "next_find_at"], condition=Q(state=State.SUBMITTING), name="job_due_find"),
            models.Index(fields=["site"], condition=Q(state__in=_OWNED), name="job_owned_by_site"),
            models.Index(
                fields=["site", "next_cancel_at"], condition=Q(next_cancel_at__isnull=False), name="job_due_cancel"
            ),
            models.Index(
                fields=["site", "next_archive_at"], condition=Q(next_archive_at__isnull=False), name="job_due_archive"
            ),
            models.Index(
                fields=["site", "next_clean_at"], condition=Q(next_clean_at__isnull=False), name="job_due_clean"
            ),
            models.Index(fields=["site"], condition=Q(reason="Lost"), name="job_lost"),
            models.Index(fields=["node"], condition=Q(state__in=_ALIVE), name="job_alive_of_node"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="job_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.pod_namespace}/{self.pod_name}"

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody asked for its end, and it has not ended yet."""
        return self.cancel_requested_at is not None and self.ended_at is None

    @property
    def is_over(self) -> bool:
        return State(self.state) in ENDS

    @property
    def ref(self) -> JobRef:
        """How a connector finds this job's current attempt."""
        return JobRef(
            key=self.attempt_key, native_id=self.native_id, folder=self.folder, account=self.account, pod=str(self)
        )


class TombstoneRows(Reached["Tombstone"]):
    """Tombstones, and who may see them."""

    tenant = "node__tenant"


class Tombstone(models.Model):
    """A pod that was deleted before its create arrived: that create must not start it."""

    node = models.ForeignKey(VirtualNode, on_delete=models.CASCADE)
    pod_uid = models.UUIDField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = TombstoneRows.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "pod_uid"], name="one_tombstone_for_a_pod_of_a_node")]

    def __str__(self) -> str:
        return str(self.pod_uid)
