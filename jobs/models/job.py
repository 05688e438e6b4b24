"""The rows of jobs. Only `lifecycle.py` writes `state` and the columns that change with it."""

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
    """A new public name for a job or an attempt: 160 random bits as 40 lower-case hex digits."""
    return secrets.token_hex(20)


class OfJob(Reached[_Row]):
    """Rows with a `job`: they belong to the job's tenant and to its site."""

    tenant = "job__tenant"
    site = "job__site"


class Job(models.Model):
    """One pod, from its request to its end.

    A virtual node sent it, or a person or a service account submitted it. The `next_*_at` columns say when work on it
    is due. Written by jobs/lifecycle.py, except columns whose help text names another file.
    """

    # Most moves write to every index of a row, so a foreign key has no index where another index begins with it.
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, db_index=False, help_text="whose pod it is, and whose allocation it uses"
    )
    node = models.ForeignKey(
        VirtualNode,
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        help_text="the virtual node that it came through; none if it was submitted through the API",
    )
    person = models.ForeignKey(
        Person,
        on_delete=models.SET_NULL,
        null=True,
        related_name="jobs",
        db_index=False,
        help_text="the person who submitted it through the API",
    )
    service = models.ForeignKey(
        ServiceAccount,
        on_delete=models.SET_NULL,
        null=True,
        related_name="jobs",
        db_index=False,
        help_text="the service account that submitted it through the API",
    )
    site = models.ForeignKey(
        Site, on_delete=models.PROTECT, null=True, db_index=False, help_text="where it goes; none until that is decided"
    )
    allocation = models.ForeignKey(
        Allocation,
        on_delete=models.PROTECT,
        null=True,
        related_name="jobs",
        help_text="what it was started under; none while it is held",
    )
    key = models.CharField(
        max_length=40, default=new_key, editable=False, help_text="its name for the outside world, random"
    )
    pod_uid = models.UUIDField(help_text="the pod's UID in its cluster; unique for each virtual node only")
    pod_name = models.CharField(max_length=253, help_text="the pod's name in its cluster")
    pod_namespace = models.CharField(max_length=253, help_text="the pod's namespace in its cluster")
    request = models.BinaryField(
        null=True, editable=False, help_text="the body of /create, encrypted (jobs/payload.py); erased at the end"
    )
    containers = models.JSONField(
        default=list, help_text='[{"name", "image", "init"}] in the pod\'s order, init containers first'
    )
    owner_issuer = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="the issuer of the person who submitted it; kept when the person is removed",
    )
    owner_subject = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="that person's name at the issuer; kept when the person is removed",
    )
    demand = models.JSONField(
        null=True,
        help_text="a sites.workload.Demand: what the pod asks for and, from QUEUED on, what it was granted; none until"
        " it is settled for its site. The columns from `cpus` to `time_limit` are its totals",
    )
    cpus = models.PositiveIntegerField(default=1, help_text="CPUs of the demand, over all its nodes")
    memory = models.PositiveBigIntegerField(default=0, help_text="bytes over all its nodes; 0 leaves it to the site")
    gpus = models.PositiveIntegerField(default=0, help_text="GPUs of the demand, over all its nodes")
    gpu_kind = models.CharField(max_length=63, blank=True, help_text="the kind of GPU; empty means any kind")
    flavor = models.CharField(max_length=63, blank=True, help_text="the site's flavor that the pod names, if any")
    partition = models.CharField(max_length=1100, blank=True, help_text="where it goes at its site; may be a list")
    time_limit = models.PositiveIntegerField(
        null=True, help_text="seconds that it may run; the pod's own limit, or else that of its allocation"
    )
    is_counted = models.BooleanField(
        default=False, help_text="whether its allocation counts it: from QUEUED on, until it ends or is held again"
    )
    reserved_cpu_seconds = models.PositiveBigIntegerField(
        default=0, help_text="CPU seconds of the budget that are kept for it while it is counted"
    )
    reserved_gpu_seconds = models.PositiveBigIntegerField(
        default=0, help_text="GPU seconds of the budget that are kept for it while it is counted"
    )
    priority = models.SmallIntegerField(default=0, help_text="its allocation's; higher ones are submitted first")

    state = models.CharField(
        max_length=10,
        choices=[(state.value, state.value) for state in State],
        help_text="what we have decided about it (docs/states.md)",
    )
    reason = models.CharField(max_length=100, blank=True, help_text="one word: why it waits, or how it ended")
    message = models.TextField(blank=True, help_text="the same in a sentence, for the pod's owner")
    observed = models.JSONField(
        default=dict,
        help_text='container -> {"started", "ended" (seconds since 1970), "code", "restart"}, what the site reported',
    )
    exit_code = models.IntegerField(null=True, help_text="of containers whose own exit code the site did not report")
    status_first = models.TextField(help_text="the answer to /status for a kubelet that has not seen its containers")
    status_exact = models.TextField(help_text="the answer to /status for the others (both: jobs/rendering.py)")

    attempt = models.PositiveIntegerField(default=0, help_text="the number of the current attempt; 0 before the first")
    attempt_key = models.CharField(max_length=40, blank=True, help_text="its random name, which the site knows too")
    folder = models.CharField(max_length=500, blank=True, help_text="this attempt's folder at the site")
    account = models.CharField(
        max_length=64, blank=True, help_text="the local account it runs under; empty is the site's own"
    )
    native_id = models.CharField(max_length=200, blank=True, help_text="the site's own name of the batch job")

    created_at = models.DateTimeField(default=timezone.now, help_text="when the pod was accepted")
    changed_at = models.DateTimeField(default=timezone.now, help_text="of the last move; for `changed_since`")
    submitted_at = models.DateTimeField(null=True, help_text="when the site took this attempt")
    started_at = models.DateTimeField(null=True, help_text="when it began to run, by the site's clock")
    ended_at = models.DateTimeField(null=True, help_text="when it ended: the site's time, if that can be true, or ours")
    cancel_requested_at = models.DateTimeField(null=True, help_text="when somebody asked to cancel it")
    cancel_reason = models.CharField(max_length=200, blank=True, help_text="one word: why it is to be cancelled")
    deleted_at = models.DateTimeField(null=True, help_text="when its kubelet deleted the pod")
    missing_since = models.DateTimeField(null=True, help_text="since when an answering site does not know it")
    lost_at = models.DateTimeField(
        null=True,
        help_text="when it was given up as lost; cleared once its site knows it again and it has ended",
    )
    polled_minute = models.PositiveBigIntegerField(
        default=0,
        help_text="its node's `heard_minutes` when its kubelet last asked for it. "
        "Written by jobs/interlink/last_heard.py.",
    )

    tries = models.PositiveIntegerField(default=0, help_text="failed calls in a row, for the back-off")
    next_start_at = models.DateTimeField(null=True, help_text="when a held job is looked at next")
    next_submit_at = models.DateTimeField(null=True, help_text="when a queued job may be submitted")
    next_find_at = models.DateTimeField(null=True, help_text="when the site is asked what became of a submission")
    next_cancel_at = models.DateTimeField(null=True, help_text="when the site is told (again) to cancel it")
    next_archive_at = models.DateTimeField(null=True, help_text="when the logs of an ended job are fetched")
    next_clean_at = models.DateTimeField(null=True, help_text="when the folder of an ended job is removed")

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
                condition=Q(state__in=_ENDS) | Q(lost_at__isnull=True), name="only_an_ended_job_is_lost"
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
            # The release before asks by its reason: it may run beside this one, and one may go back to it.
            models.Index(fields=["site"], condition=Q(reason="Lost"), name="job_lost"),
            models.Index(fields=["site"], condition=Q(lost_at__isnull=False), name="job_lost_at"),
            models.Index(fields=["node"], condition=Q(state__in=_ALIVE), name="job_alive_of_node"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="job_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.pod_namespace}/{self.pod_name}"

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody asked to cancel the job and it has not ended yet."""
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
