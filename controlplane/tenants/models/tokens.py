"""The credentials that all show."""

from __future__ import annotations

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reach, Reached
from controlplane.tenants.models.nodes import ServiceAccount, VirtualNode
from controlplane.tenants.models.people import Person
from controlplane.tenants.models.tenants import Tenant


class ApiTokenRows(Reached["ApiToken"]):
    """Tokens, and who may see them."""

    def within(self, reach: Reach) -> Self:
        """Those of a tenant's nodes and service accounts: a personal one is its person's, also one for this tenant."""
        found = super().within(reach)
        return found if reach.everything else found.filter(person__isnull=True)


class ApiToken(models.Model):
    """A credential of ours: shown once, stored as a SHA-256.

    kind and owner go together: a node's tokens and its client secret (which only the token endpoint takes) belong to a
    virtual node, the others to a person or a service account. tenant: the owner's; for a personal token the one tenant
    that it is confined to, or none. scopes: what it may be used for, of `controlplane.auth.roles.Scope`; a node's have
    none, since they open the interLink wire alone. automatic: from the token endpoint, forgotten soon after its end;
    issued_for is then the client secret. replaced_by: its successor by rotation.
    """

    class Kind(models.TextChoices):
        NODE = "node", "Virtual node"
        CLIENT = "client", "Client secret of a virtual node"
        PERSONAL = "personal", "Personal"
        SERVICE = "service", "Service account"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.NODE)
    node = models.ForeignKey(VirtualNode, on_delete=models.CASCADE, related_name="tokens", null=True)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="tokens", null=True)
    service = models.ForeignKey(ServiceAccount, on_delete=models.CASCADE, related_name="tokens", null=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="tokens", null=True)
    scopes = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    label = models.CharField(max_length=100, blank=True)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False, help_text="the first characters, to recognise it by")
    automatic = models.BooleanField(default=False, editable=False)
    issued_for = models.ForeignKey("self", on_delete=models.SET_NULL, related_name="+", null=True, editable=False)
    replaced_by = models.ForeignKey("self", on_delete=models.SET_NULL, related_name="+", null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)

    objects = ApiTokenRows.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    kind__in=["node", "client"],
                    node__isnull=False,
                    person__isnull=True,
                    service__isnull=True,
                    tenant__isnull=False,
                )
                | Q(kind="personal", person__isnull=False, node__isnull=True, service__isnull=True)
                | Q(
                    kind="service",
                    service__isnull=False,
                    node__isnull=True,
                    person__isnull=True,
                    tenant__isnull=False,
                ),
                name="a_token_has_the_owner_of_its_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hint}…"
