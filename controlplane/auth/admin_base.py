"""Base classes of our admin pages: one records every change in the audit trail, one makes a page read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin

from controlplane.audit import trail
from controlplane.tenants.models import Tenant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.admin.models import LogEntry
    from django.db.models import Model, QuerySet
    from django.forms import BaseModelFormSet
    from django.http import HttpRequest


class ReadOnly:
    """Makes an admin page or inline read-only."""

    def has_add_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False


class RecordedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # cannot be subscripted at run time
    """A ModelAdmin that records additions, changes (with the difference) and deletions, also of inlines.

    trail_kind: the object's kind in the audit trail; empty: the model's name. trail_acts: other names for the acts
    create, change and delete. trail_site: the name of the field that holds the site or its slug.
    """

    trail_kind: ClassVar[str] = ""
    trail_acts: ClassVar[Mapping[str, str]] = {}
    trail_site: ClassVar[str] = "site"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        request.__dict__["isthmus_before"] = trail.snapshot(_stored(obj)) if change else {}
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet[Any, Any], change: Any) -> None:
        changed = [each.instance for each in formset.initial_forms if each.has_changed()]
        before = {row.pk: trail.snapshot(_stored(row)) for row in changed}
        super().save_formset(request, form, formset, change)
        for row in formset.new_objects:
            self._record("create", row, trail.difference({}, trail.snapshot(row)))
        for row, _ in formset.changed_objects:
            self._record("change", row, trail.difference(before[row.pk], trail.snapshot(_stored(row))))
        for row in formset.deleted_objects:
            self._record("delete", row, {"was": str(row)})

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        request.__dict__.pop("isthmus_before", None)
        self._record("create", obj, trail.difference({}, trail.snapshot(obj)))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        """Records the difference after a form was saved; records only `message` after other pages and actions."""
        before = request.__dict__.pop("isthmus_before", None)
        changes: Mapping[str, Any] = {"what": str(message)}
        if before is not None:
            changes = trail.difference(before, trail.snapshot(_stored(obj)))
        self._record("change", obj, changes)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[LogEntry]:
        for row in queryset:
            self._record("delete", row, {"was": str(row), **trail.snapshot(row)})
        return super().log_deletions(request, queryset)

    def _record(self, act: str, row: Model, changes: Mapping[str, Any]) -> None:
        is_main = isinstance(row, self.model)
        kind = (is_main and self.trail_kind) or str(row._meta.model_name)
        act = self.trail_acts.get(act, act) if is_main else act
        site = getattr(row, self.trail_site if is_main else "site", "")
        slug = site if isinstance(site, str) else str(getattr(site, "slug", ""))
        tenant_id: int | None = getattr(row, "tenant_id", None) or getattr(
            getattr(row, "node", None), "tenant_id", None
        )
        tenant_id = row.pk if isinstance(row, Tenant) else tenant_id
        trail.record(f"{kind}.{act}", kind, row.pk, tenant_id=tenant_id, site=slug, changes=changes)


def _stored(row: Model) -> Model:
    """Reads the row from the database; a form has already changed `row` in memory."""
    return type(row)._base_manager.get(pk=row.pk)  # noqa: SLF001  (Django's own name for it)
