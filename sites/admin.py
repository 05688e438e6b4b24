"""The admin pages of sites, routes, allocations and flavors.

The site form opens the connector with the new configuration before it saves. Allocations are granted and changed by the
use cases that the API calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import transaction

from controlplane.audit import trail
from controlplane.auth.admin_base import RecordedAdmin
from controlplane.errors import Conflict, Invalid
from sites import allocations, connections
from sites.connectors.config import BadConfig
from sites.models import Allocation, Flavor, Partition, Route, Site
from sites.terms import READERS

if TYPE_CHECKING:
    from django.http import HttpRequest


class SiteForm(forms.ModelForm):
    """A site and its secret. People can set and replace the secret; no page shows it."""

    secret = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text="Stored encrypted and never shown. Leave this empty to keep the current secret.",
    )

    class Meta:
        model = Site
        fields = ("name", "slug", "kind", "config", "secret", "enabled", "poll_interval", "shared_account")

    def clean(self) -> dict[str, Any]:
        """Open the connector, which does no I/O, so that this form shows a wrong setting before a worker meets it."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        secret = cleaned["secret"] or (connections.credential(self.instance) if self.instance.pk else "")
        try:
            connections.open_connector(cleaned["kind"], cleaned["config"], secret).close()
        except BadConfig as error:
            self.add_error("config", error.message)
        return cleaned


class PartitionInline(admin.TabularInline):
    """The site's partitions, as its last answer described them."""

    model = Partition
    fields = readonly_fields = ("name", "nodes", "cpus", "memory", "gpus", "time_limit", "default", "up", "seen_at")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Site | None = None) -> bool:
        return False


@admin.register(Site)
class SiteAdmin(RecordedAdmin):
    trail_site = "slug"
    form = SiteForm
    list_display = ("name", "kind", "enabled", "silent_since", "polled_at")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "slug")
    readonly_fields = ("answered_at", "polled_at", "silent_since", "silence", "next_probe_at")
    inlines = [PartitionInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Site | None = None) -> tuple[str, ...]:
        """The secret is sealed for the site's slug, so the slug of an existing site cannot change."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return (*fields, "slug") if obj else fields

    def save_model(self, request: HttpRequest, obj: Site, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        if secret := form.cleaned_data["secret"]:
            connections.seal_credential(obj, secret)
        super().save_model(request, obj, form, change)
        if secret:
            trail.record("site.secret", "site", obj.pk, site=obj.slug)


@admin.register(Route)
class RouteAdmin(RecordedAdmin):
    list_display = ("node", "site")
    list_filter = ("site",)
    autocomplete_fields = ("node", "site")


class AllocationForm(forms.ModelForm):
    """The terms of an allocation. `clean` saves them and rolls back, so that each error appears at its field."""

    class Meta:
        model = Allocation
        fields = ("tenant", "site", *READERS)
        labels = {
            "cpus": "CPUs", "gpus": "GPUs", "cpu_hours": "CPU hours", "gpu_hours": "GPU hours", "qos": "QoS",
        }  # fmt: skip

    @property
    def terms(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in READERS if name in self.cleaned_data}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            self._save_and_roll_back()
        return cleaned

    def _save_and_roll_back(self) -> None:
        try:
            with transaction.atomic():
                self.saved()
                transaction.set_rollback(True)
        except Invalid as refusal:
            for name, message in refusal.errors.items():
                self.add_error(name if name in self.fields else None, message)
        except Conflict as refusal:
            self.add_error(None, refusal.message)

    def saved(self) -> Allocation:
        """Grant or change the allocation by its use case, which checks and audits. Raises Invalid, Conflict."""
        if self.instance.pk:
            return allocations.change(Allocation.objects.get(pk=self.instance.pk), self.terms)
        return allocations.grant(self.cleaned_data["tenant"], self.cleaned_data["site"], self.terms)


@admin.register(Allocation)
class AllocationAdmin(admin.ModelAdmin):
    form = AllocationForm
    list_display = ("tenant", "site", "enabled", "valid_until", "used_pods", "pods", "used_cpus", "cpus", "priority")
    list_filter = ("site", "enabled")
    list_select_related = ("tenant", "site")
    search_fields = ("tenant__name", "site__name")
    readonly_fields = (
        "used_pods", "used_cpus", "used_memory", "used_gpus", "reserved_cpu_seconds", "reserved_gpu_seconds",
        "spent_cpu_seconds", "spent_gpu_seconds", "period_began",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Allocation | None = None) -> tuple[str, ...]:
        """Tenant and site of an existing allocation cannot change."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return (*fields, "tenant", "site") if obj else fields

    def get_fields(self, request: HttpRequest, obj: Allocation | None = None) -> list[Any]:
        """Tenant and site come first, also where they are read-only."""
        return ["tenant", "site", *READERS, *(self.readonly_fields if obj else ())]

    def has_delete_permission(self, request: HttpRequest, obj: Allocation | None = None) -> bool:
        """Allocations are revoked, never deleted: usage records refer to them."""
        return False

    def save_model(self, request: HttpRequest, obj: Allocation, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        assert isinstance(form, AllocationForm)  # noqa: S101  (for the type checker)
        obj.pk = form.saved().pk


@admin.register(Flavor)
class FlavorAdmin(RecordedAdmin):
    list_display = ("name", "site", "partition", "cpus", "memory", "gpus", "time_limit")
    list_filter = ("site",)
    list_select_related = ("site",)
    search_fields = ("name", "description", "site__name")
