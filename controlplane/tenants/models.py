"""Who there is: people, tenants, who may what in them, virtual nodes, service accounts and the tokens that all show.

Row security binds the web role on these tables (scope.py); the columns that its policies read are named in
`controlplane/ops/row_security.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

if TYPE_CHECKING:
    from datetime import datetime


class Person(AbstractUser):
    """Someone who logs in, known by (issuer, subject). A break-glass administrator has neither.

    username: for those with an issuer a short hash of both, never shown: an issuer's own names are not unique here.
    """

    first_name = None  # type: ignore[assignment]  # people have one name, as their issuer gives it
    last_name = None  # type: ignore[assignment]
    name = models.CharField(max_length=200, blank=True)
    issuer = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=~Q(subject=""), name="person_is_issuer_and_subject"
            ),
        ]

    def __str__(self) -> str:
        return self.get_full_name()

    def get_full_name(self) -> str:
        return self.name or self.username

    def get_short_name(self) -> str:
        return self.get_full_name()


class Tenant(models.Model):
    """A community (virtual organisation, project): the isolation domain.

    community: the issuer and the group at it that this is the tenant of, where one was made at first sight; so that a
    group of the same name at another issuer, or one that comes to the same slug, never shares it.
    """

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    community = models.CharField(max_length=420, blank=True, default="", db_default="", editable=False)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["community"], condition=~Q(community=""), name="a_community_has_one_tenant"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Origin(models.TextChoices):
    """Where a membership or a role comes from."""

    CLAIMED = "claimed", "from the issuer's claims, renewed by each login"
    MANUAL = "manual", "given by hand"


class HeldRights(models.QuerySet):  # type: ignore[type-arg]  # of two models
    """Memberships or role grants."""

    def in_force(self, *, now: datetime) -> HeldRights:
        """Those that count: manual ones, and claimed ones that a login has shown within MEMBERSHIP_LAPSE."""
        return self.filter(Q(origin=Origin.MANUAL) | Q(seen_at__gt=self.lapses_before(now=now)))

    def lapsed(self, *, now: datetime) -> HeldRights:
        return self.filter(origin=Origin.CLAIMED, seen_at__lte=self.lapses_before(now=now))

    @staticmethod
    def lapses_before(*, now: datetime) -> datetime:
        return now - timedelta(seconds=settings.MEMBERSHIP_LAPSE)


class HeldRight(models.Model):
    """What a membership and a role have in common.

    rule: for a claimed one, the name of the rule of its issuer that gave it; seen_at: the last login that showed it.
    """

    origin = models.CharField(max_length=10, choices=Origin.choices)
    rule = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    seen_at = models.DateTimeField(default=timezone.now)

    objects = HeldRights.as_manager()

    class Meta:
        abstract = True


class Membership(HeldRight):
    """A person's role in a tenant. A manager need not be a member as well."""

    class Role(models.TextChoices):
        MEMBER = "member", "submits pods and sees those of the tenant"
        MANAGER = "manager", "and manages its members, tokens, nodes and requests"

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="memberships")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "tenant", "role", "origin"], name="membership_is_held_once"),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.role} of {self.tenant_id}"


class RoleGrant(HeldRight):
    """A person's role beyond tenants. site: the slug of the site for a site operator, empty for the federation's."""

    class Role(models.TextChoices):
        FEDERATION_OPERATOR = "federation_operator", "Federation operator"
        FEDERATION_AUDITOR = "federation_auditor", "Federation auditor"
        SITE_OPERATOR = "site_operator", "Site operator"

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="role_grants")
    role = models.CharField(max_length=30, choices=Role.choices)
    site = models.CharField(max_length=63, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "role", "site", "origin"], name="role_is_granted_once"),
            models.CheckConstraint(
                condition=Q(role="site_operator") & ~Q(site="") | ~Q(role="site_operator") & Q(site=""),
                name="only_a_site_operator_has_a_site",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.role} {self.site}".rstrip()


class VirtualNode(models.Model):
    """One virtual kubelet's identity.

    cpus, memory (bytes), pods, accelerators ({"nvidia.com/gpu": 8}) override what /pinglink tells Kubernetes; unset,
    the allocation and the site decide. heard_minutes counts the minutes in which anything was heard of this node: an
    orphan's age is measured on this clock, so that a kubelet that is down orphans nothing.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="nodes")
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200, blank=True)
    enabled = models.BooleanField(default=True)
    cpus = models.PositiveIntegerField(null=True, blank=True)
    memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes")
    pods = models.PositiveIntegerField(null=True, blank=True)
    accelerators = models.JSONField(default=dict, blank=True)
    heard_at = models.DateTimeField(null=True, editable=False)
    heard_minutes = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.slug


class ServiceAccount(models.Model):
    """A program that calls the REST API for a tenant, with the rights of `role` there."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="service_accounts")
    slug = models.SlugField(max_length=63)
    name = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=10, choices=Membership.Role.choices, default=Membership.Role.MEMBER)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="service_account_name_is_the_tenants")]

    def __str__(self) -> str:
        return self.slug


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


class ApprovalRequest(models.Model):
    """Something that a tenant asks for and an operator decides.

    kind names what is asked for (`sites/approvals.py` knows the kinds), payload its details, subject the row that it is
    about, where there is one already; site: the slug of the site whose operator may decide. decision: the payload as it
    was granted, which may differ from what was asked for.
    """

    class State(models.TextChoices):
        OPEN = "open", "waits for a decision"
        GRANTED = "granted", "granted as asked"
        CHANGED = "changed", "granted with changes"
        DECLINED = "declined", "declined"
        WITHDRAWN = "withdrawn", "taken back by those who asked"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="requests")
    site = models.CharField(max_length=63, blank=True)
    kind = models.CharField(max_length=30)
    subject = models.BigIntegerField(null=True)
    payload = models.JSONField(default=dict)
    justification = models.TextField(blank=True)
    asked_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="requests")
    asked_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    decision = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="decisions")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open", decided_at__isnull=True) | ~Q(state="open") & Q(decided_at__isnull=False),
                name="a_decision_has_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["site", "asked_at"], condition=Q(state="open"), name="request_open_at_site"),
            models.Index(fields=["tenant", "asked_at"], name="request_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.tenant}: {self.state}"
