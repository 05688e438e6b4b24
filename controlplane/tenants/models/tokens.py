"""Tokens and client secrets that Isthmus issues."""

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
    """Tokens. A caller sees those of its tenants' nodes and service accounts."""

    def within(self, reach: Reach) -> Self:
        """Returns the tokens of nodes and service accounts within reach.

        Leaves out personal tokens, even those limited to one tenant: only their owner may see them.
        """
        found = super().within(reach)
        return found if reach.everything else found.filter(person__isnull=True)


class ApiToken(models.Model):
    """A credential that Isthmus issued: shown once, stored as a SHA-256.

    Written by controlplane/auth/tokens/issue.py, except columns whose help text names another file.
    """

    class Kind(models.TextChoices):
        NODE = "node", "Virtual node"
        CLIENT = "client", "Client secret of a virtual node"
        PERSONAL = "personal", "Personal"
        SERVICE = "service", "Service account"

    kind = models.CharField(
        max_length=10, choices=Kind.choices, default=Kind.NODE, help_text="what it is for; this says whose it may be"
    )
    node = models.ForeignKey(
        VirtualNode,
        on_delete=models.CASCADE,
        related_name="tokens",
        null=True,
        help_text="the owner of a node's token, and of a client secret, which only the token endpoint takes",
    )
    person = models.ForeignKey(
        Person, on_delete=models.CASCADE, related_name="tokens", null=True, help_text="the owner of a personal token"
    )
    service = models.ForeignKey(
        ServiceAccount,
        on_delete=models.CASCADE,
        related_name="tokens",
        null=True,
        help_text="the owner of a service account's token",
    )
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="tokens",
        null=True,
        help_text="the owner's; of a personal token the only tenant that it may be used for, none for all",
    )
    scopes = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        help_text="what it may be used for; a node's token has none, since it is for the interLink wire only",
    )
    label = models.CharField(max_length=100, blank=True, help_text="what its owner calls it")
    digest = models.BinaryField(max_length=32, unique=True, editable=False, help_text="SHA-256 of the token")
    hint = models.CharField(max_length=12, editable=False, help_text="the first characters, to recognise it by")
    automatic = models.BooleanField(
        default=False, editable=False, help_text="from the token endpoint; deleted soon after it expires"
    )
    issued_for = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        editable=False,
        help_text="the client secret that was shown for it at the token endpoint",
    )
    replaced_by = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        editable=False,
        help_text="its successor, if any",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it was made")
    expires_at = models.DateTimeField(help_text="when it ends by itself")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="when somebody ended it")
    last_used_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="when it was last used, to the minute. Written by controlplane/auth/tokens/last_use.py.",
    )

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
