"""The admin pages of sites, of what they offer to whom, and of routes.

A site's configuration is tried on its connector before it is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin

from controlplane.auth.admin_pages import RecordedAdmin
from sites import connecting
from sites.connectors import open_connector
from sites.connectors.config import BadConfig
from sites.models import Allocation, Flavor, Partition, Route, Site

if TYPE_CHECKING:
    from django.http import HttpRequest


class SiteForm(forms.ModelForm):
    """A site with its secret, which can be set and replaced, and never read back."""

    secret = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text="Stored encrypted and never shown. Leave it empty to keep the one that is there.",
    )

    class Meta:
        model = Site
        fields = ("name", "slug", "kind", "config", "secret", "enabled", "poll_interval")

    def clean(self) -> dict[str, Any]:
        """Open the connector, which does no I/O, so that a mistake is told here and not in a worker's log."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        secret = cleaned["secret"] or (connecting.credential(self.instance) if self.instance.pk else "")
        try:
            open_connector(cleaned["kind"], cleaned["config"], secret).close()
        except BadConfig as error:
            self.add_error("config", error.message)
        return cleaned


class PartitionInline(admin.TabularInline):
    """What the site said of itself when it was last asked."""

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
        """The slug names the row that the secret is sealed for, so it stays once there is one."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return (*fields, "slug") if obj else fields

    def save_model(self, request: HttpRequest, obj: Site, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        if secret := form.cleaned_data["secret"]:
            connecting.seal_credential(obj, secret)
        super().save_model(request, obj, form, change)


@admin.register(Route)
class RouteAdmin(RecordedAdmin):
    list_display = ("node", "site")
    list_filter = ("site",)
    autocomplete_fields = ("node", "site")


@admin.register(Allocation)
class AllocationAdmin(RecordedAdmin):
    """Limits that are lowered kill nothing: what is beyond them waits. Usage is counted by the jobs, not here."""

    list_display = ("tenant", "site", "enabled", "pods", "cpus", "cpu_hours", "gpu_hours", "period", "valid_until")
    list_filter = ("site", "enabled", "period")
    list_select_related = ("tenant", "site")
    search_fields = ("tenant__name", "tenant__slug", "site__name")
    autocomplete_fields = ("tenant", "site")
    fieldsets = (
        (None, {"fields": ("tenant", "site", "enabled", "valid_from", "valid_until")}),
        ("At once (empty: no limit)", {"fields": ("pods", "cpus", "memory", "gpus")}),
        ("Hours (empty: no limit)", {"fields": ("cpu_hours", "gpu_hours", "period", "default_time_limit")}),
        ("At the site", {"fields": ("priority", "local_account", "partitions", "qos", "flavors")}),
        ("Used", {"fields": ("used_pods", "used_cpus", "used_memory", "used_gpus", "spent_cpu_seconds")}),
    )
    readonly_fields = ("used_pods", "used_cpus", "used_memory", "used_gpus", "spent_cpu_seconds")


@admin.register(Flavor)
class FlavorAdmin(RecordedAdmin):
    list_display = ("name", "site", "partition", "cpus", "memory", "gpus", "time_limit")
    list_filter = ("site",)
    list_select_related = ("site",)
    search_fields = ("name", "description", "site__name")
