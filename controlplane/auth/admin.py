"""The admin pages of people, tenants, memberships, roles, virtual nodes, service accounts, tokens and requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from controlplane.auth.admin_base import ReadOnly, RecordedAdmin
from controlplane.auth.admin_login import RecordedLogin
from controlplane.auth.roles import Scope
from controlplane.auth.tokens import issue
from controlplane.tenants.models import (
    ApiToken,
    ApprovalRequest,
    Membership,
    Origin,
    Person,
    RoleGrant,
    ServiceAccount,
    Tenant,
    VirtualNode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse

admin.site.site_header = admin.site.site_title = "Isthmus"
admin.site.login_form = RecordedLogin
admin.site.login_template = "admin/isthmus_auth/login.html"
# Groups give no rights here, and the group's page would not be recorded in the audit trail.
admin.site.unregister(Group)


class Issuing(RecordedAdmin):
    """Base of admin pages that issue tokens for the chosen rows and revoke them."""

    def issued(
        self, request: HttpRequest, owners: Iterable[Model], mint: Callable[[Any, str], tuple[ApiToken, str]]
    ) -> HttpResponse:
        """Makes a token for each owner and shows the tokens once, on a page.

        mint: called with the owner and a label; returns the token's row and text. The page is not a Django message,
        because messages are stored in a cookie or in the session.
        """
        shown = []
        for owner in owners:
            row, text = mint(owner, f"issued by {request.user}")
            shown.append({"owner": owner, "token": text, "expires_at": row.expires_at})
            self.log_change(request, owner, f"Issued a token ({row.hint}…).")
        context = {**self.admin_site.each_context(request), "title": "Tokens issued", "issued": shown}
        context["back"] = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        response = TemplateResponse(request, "admin/isthmus_auth/tokens_issued.html", context)
        add_never_cache_headers(response)
        return response

    def revoked(self, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
        count = sum(issue.revoke_token(row) for row in rows.filter(revoked_at=None))
        self.message_user(request, f"{count} tokens are revoked; they stop working within seconds.", messages.SUCCESS)


@admin.register(Person)
class PersonAdmin(RecordedAdmin, UserAdmin):
    """People. They are created by their first login, administrators by `create_administrator`; not on this page."""

    list_display = ("__str__", "issuer", "subject", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff")
    readonly_fields = ("username", "issuer", "subject", "is_staff", "is_superuser")
    search_fields = ("username", "name", "email", "subject")
    fieldsets = (
        (None, {"fields": ("username", "password", "name", "email")}),
        ("Home identity", {"fields": ("issuer", "subject")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser")}),
    )
    ordering = ("name", "username")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Tenant)
class TenantAdmin(RecordedAdmin):
    list_display = ("name", "slug", "enabled", "created_at")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ["name"]}


class HeldForm(forms.ModelForm):
    """A form that gives a membership or a role by hand."""

    def clean(self) -> dict[str, Any]:
        """Checks the unique constraint here, because `origin` is in the constraint but not in the form."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self.instance.origin = Origin.MANUAL
        if not self.errors and type(self.instance).objects.filter(**cleaned, origin=Origin.MANUAL).exists():
            raise forms.ValidationError("The person already has this membership or role by hand.")
        return cleaned


class HeldAdmin(RecordedAdmin):
    """Gives and takes memberships and roles by hand. Claimed ones end at the issuer: a login would restore them."""

    form = HeldForm
    search_fields = ("person__name", "person__username", "person__email")
    trail_acts = {"create": "give", "delete": "take"}

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        is_manual = obj is None or getattr(obj, "origin", "") == Origin.MANUAL
        return is_manual and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Removes Django's action "delete selected", which would also delete the claimed rows that are selected."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}


@admin.register(Membership)
class MembershipAdmin(HeldAdmin):
    list_display = ("person", "tenant", "role", "origin", "rule", "seen_at")
    list_filter = ("role", "origin", "tenant")
    list_select_related = ("person", "tenant")
    fields = ("person", "tenant", "role")
    autocomplete_fields = ("person", "tenant")


@admin.register(RoleGrant)
class RoleGrantAdmin(HeldAdmin):
    list_display = ("person", "role", "site", "origin", "rule", "seen_at")
    list_filter = ("role", "origin")
    list_select_related = ("person",)
    fields = ("person", "role", "site")
    autocomplete_fields = ("person",)
    trail_kind = "role"


class TokenInline(ReadOnly, admin.TabularInline):
    """The tokens that people received. Leaves out the short-lived ones of the token endpoint."""

    model = ApiToken
    fields = readonly_fields = ("kind", "hint", "label", "expires_at", "revoked_at", "last_used_at", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        return super().get_queryset(request).filter(automatic=False)


@admin.register(VirtualNode)
class VirtualNodeAdmin(Issuing):
    """Virtual nodes. A new node gets its first token at once; the next page shows it, once."""

    list_display = ("slug", "tenant", "enabled", "heard_at", "created_at")
    list_filter = ("tenant", "enabled")
    search_fields = ("slug", "name", "tenant__name")
    readonly_fields = ("heard_at",)
    inlines = [TokenInline]
    actions = ["issue_token", "issue_secret", "revoke_tokens"]
    trail_kind = "node"

    def response_add(
        self, request: HttpRequest, obj: VirtualNode, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.issued(request, [obj], _mint_node_token)

    @admin.action(description="Issue a token (shown once)")
    def issue_token(self, request: HttpRequest, queryset: QuerySet[VirtualNode]) -> HttpResponse:
        return self.issued(request, queryset, _mint_node_token)

    @admin.action(description="Issue a client secret for the token endpoint (shown once)")
    def issue_secret(self, request: HttpRequest, queryset: QuerySet[VirtualNode]) -> HttpResponse:
        return self.issued(
            request, queryset, lambda node, label: issue.mint(node, kind=ApiToken.Kind.CLIENT, label=label)
        )

    @admin.action(description="Revoke all tokens and client secrets")
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[VirtualNode]) -> None:
        self.revoked(request, ApiToken.objects.filter(node__in=queryset))


@admin.register(ServiceAccount)
class ServiceAccountAdmin(Issuing):
    list_display = ("slug", "name", "tenant", "role", "enabled", "created_at")
    list_filter = ("tenant", "role", "enabled")
    search_fields = ("slug", "name", "tenant__name")
    inlines = [TokenInline]
    actions = ["issue_token", "revoke_tokens"]
    trail_kind = "service"

    @admin.action(description="Issue a token with all scopes (shown once)")
    def issue_token(self, request: HttpRequest, queryset: QuerySet[ServiceAccount]) -> HttpResponse:
        scopes = list(Scope)
        return self.issued(
            request,
            queryset,
            lambda service, label: issue.mint_service(service, scopes=scopes, label=label, lifetime=issue.longest()),
        )

    @admin.action(description="Revoke all tokens")
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[ServiceAccount]) -> None:
        self.revoked(request, ApiToken.objects.filter(service__in=queryset))


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly, Issuing):
    """All tokens, to see and to revoke. Their owners issue them, and the pages of nodes and service accounts do."""

    list_display = ("hint", "kind", "label", "owner", "tenant", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("kind", "automatic", "tenant")
    list_select_related = ("node", "person", "service", "tenant")
    search_fields = ("=hint", "label", "node__slug", "person__name", "person__username", "service__slug")
    actions = ["revoke_chosen"]
    trail_kind = "token"

    @admin.display(description="owner")
    def owner(self, row: ApiToken) -> str:
        return str(row.node or row.service or (row.person and row.person.get_full_name()) or "")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke_chosen(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        self.revoked(request, queryset)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Lets people revoke tokens if they have Django's permission to change them; nobody can edit a token here."""
        return request.user.has_perm("tenants.change_apitoken")


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(ReadOnly, RecordedAdmin):
    """Requests, read-only. They are made and decided through the API, which also carries out what is granted."""

    list_display = ("kind", "tenant", "site", "state", "asked_by", "asked_at", "decided_by", "decided_at")
    list_filter = ("state", "kind", "tenant")
    list_select_related = ("tenant", "asked_by", "decided_by")
    search_fields = ("justification", "reason", "site")


def _mint_node_token(node: VirtualNode, label: str) -> tuple[ApiToken, str]:
    return issue.mint(node, label=label)
