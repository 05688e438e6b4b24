"""The admin pages of people, tenants, virtual nodes and their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from controlplane.auth import tokens
from controlplane.tenants.models import ApiToken, Person, Tenant, VirtualNode

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

admin.site.site_header = admin.site.site_title = "Isthmus"


@admin.register(Person)
class PersonAdmin(UserAdmin):
    """Administrators, until people log in with their home identity."""

    list_display = ("username", "name", "issuer", "is_active", "is_staff")
    search_fields = ("username", "name", "email", "subject")
    fieldsets = (
        (None, {"fields": ("username", "password", "name", "email")}),
        ("Home identity", {"fields": ("issuer", "subject")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
    )
    ordering = ("username",)


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "enabled", "created_at")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ["name"]}


class TokenInline(admin.TabularInline):
    """A node's tokens: only their label, end and revocation can be changed."""

    model = ApiToken
    extra = 0
    can_delete = False
    fields = ("hint", "label", "expires_at", "revoked_at", "last_used_at", "created_at")
    readonly_fields = ("hint", "last_used_at", "created_at")

    def has_add_permission(self, request: HttpRequest, obj: VirtualNode | None = None) -> bool:
        """Tokens are issued by the action, which can show them."""
        return False


@admin.register(VirtualNode)
class VirtualNodeAdmin(admin.ModelAdmin):
    """Virtual nodes. A new one gets its first token at once; it is shown on the next page and never again."""

    list_display = ("slug", "tenant", "enabled", "heard_at", "created_at")
    list_filter = ("tenant", "enabled")
    search_fields = ("slug", "name", "tenant__name")
    readonly_fields = ("heard_at",)
    inlines = [TokenInline]
    actions = ["issue_token", "revoke_tokens"]

    def response_add(
        self, request: HttpRequest, obj: VirtualNode, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._token_page(request, [obj])

    @admin.action(description="Issue a token (shown once)")
    def issue_token(self, request: HttpRequest, queryset: QuerySet[VirtualNode]) -> HttpResponse:
        return self._token_page(request, list(queryset))

    @admin.action(description="Revoke all tokens")
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[VirtualNode]) -> None:
        count = ApiToken.objects.filter(node__in=queryset, revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{count} tokens are revoked; they stop working within seconds.", messages.SUCCESS)

    def _token_page(self, request: HttpRequest, nodes: list[VirtualNode]) -> HttpResponse:
        """The tokens on a page of their own: a message would keep them in a cookie or in the session."""
        issued = []
        for node in nodes:
            row, text = tokens.mint(node, label=f"issued by {request.user}")
            issued.append({"node": node, "token": text, "expires_at": row.expires_at})
            self.log_change(request, node, "Issued a token.")
        context: dict[str, Any] = {**self.admin_site.each_context(request), "title": "Tokens issued", "issued": issued}
        response = TemplateResponse(request, "admin/isthmus_auth/tokens_issued.html", context)
        add_never_cache_headers(response)
        return response
