"""The admin pages of jobs: they show jobs and can cancel them. Only jobs/lifecycle.py changes a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.utils import timezone

from controlplane.auth.admin_base import ReadOnly, RecordedAdmin
from jobs import cancellation
from jobs.models import Job, Transition, UsageRecord
from sites.reasons import Reason

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


_DUE = ("next_submit_at", "next_find_at", "next_cancel_at", "next_archive_at", "next_clean_at")


class HistoryInline(ReadOnly, admin.TabularInline):
    model = Transition
    fields = ("at", "old", "new", "attempt", "native_id", "reason", "message")
    verbose_name_plural = "history"


@admin.register(Job)
class JobAdmin(ReadOnly, RecordedAdmin):
    list_display = ("__str__", "tenant", "site", "state", "reason", "created_at", "ended_at")
    list_filter = ("state", "site", "tenant")
    list_select_related = ("tenant", "site")
    search_fields = ("pod_name", "=pod_namespace", "=pod_uid", "=key", "=native_id")
    show_full_result_count = False  # counting a million rows would cost more than the page
    # In the order in which an operator asks. The request and the rendered texts are not shown.
    fieldsets = (
        (None, {"fields": ("state", "reason", "message", "exit_code")}),
        ("Whose and where", {"fields": ("tenant", "node", "site", "native_id", "attempt", "attempt_key", "folder")}),
        ("The pod", {"fields": ("pod_uid", "containers", "observed", "cpus", "memory", "gpus", "time_limit")}),
        ("When", {"fields": ("created_at", "submitted_at", "started_at", "ended_at", "missing_since")}),
        ("Cancellation", {"fields": ("cancel_requested_at", "cancel_reason", "deleted_at")}),
        ("Next", {"fields": (*_DUE, "tries")}),
    )
    inlines = [HistoryInline]
    actions = ["cancel"]

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        chosen = list(queryset.values_list("pk", flat=True))
        message = f"Cancelled by {request.user}."
        jobs = cancellation.cancel(chosen, reason=Reason.CANCELLED_BY_OPERATOR, message=message, now=timezone.now())
        self.message_user(request, f"{len(jobs)} jobs are being cancelled.", messages.SUCCESS)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Users who may change jobs may cancel them. Nobody edits a job here."""
        return request.user.has_perm("jobs.change_job")


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnly, RecordedAdmin):
    list_display = ("pod", "tenant", "site", "outcome", "cpu_seconds", "gpu_seconds", "started_at", "ended_at")
    list_filter = ("tenant", "site", "outcome")
    search_fields = ("pod", "=native_id", "=attempt_key")
    show_full_result_count = False
