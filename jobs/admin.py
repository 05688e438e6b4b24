"""The admin pages of jobs: to look, and to cancel. A job's rows are written by its life alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.utils import timezone

from jobs import wishes
from jobs.models import Job, Transition, UsageRecord

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest


class ReadOnly:
    """What the admin shows and may not change."""

    def has_add_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False


class HistoryInline(ReadOnly, admin.TabularInline):
    model = Transition
    fields = ("at", "old", "new", "attempt", "native_id", "reason", "message")
    verbose_name_plural = "history"


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("__str__", "tenant", "site", "state", "reason", "native_id", "created_at", "ended_at")
    list_filter = ("state", "site", "tenant")
    list_select_related = ("tenant", "site")
    search_fields = ("pod_name", "=pod_namespace", "=pod_uid", "=key", "=native_id")
    show_full_result_count = False  # counting a million rows would cost more than the page
    exclude = ("request", "status_first", "status_exact")
    inlines = [HistoryInline]
    actions = ["cancel"]

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        chosen = list(queryset.values_list("pk", flat=True))
        said = f"Cancelled by {request.user}."
        wished = wishes.cancel(chosen, reason="CancelledByOperator", message=said, now=timezone.now())
        self.message_user(request, f"{len(wished)} jobs are being cancelled.", messages.SUCCESS)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Nobody edits a job here, but whoever may change jobs may cancel them."""
        return request.user.has_perm("jobs.change_job")


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("pod", "tenant", "site", "outcome", "cpu_seconds", "gpu_seconds", "started_at", "ended_at")
    list_filter = ("tenant", "site", "outcome")
    search_fields = ("pod", "=native_id", "=attempt_key")
    show_full_result_count = False
