"""Who there is: people, tenants, their virtual nodes and the tokens that those show."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Person(AbstractUser):
    """Someone who logs in, known by (issuer, subject). A break-glass administrator has neither."""

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

    def get_full_name(self) -> str:
        return self.name or self.username

    def get_short_name(self) -> str:
        return self.get_full_name()


class Tenant(models.Model):
    """A community (virtual organisation, project): the isolation domain."""

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name


class VirtualNode(models.Model):
    """One virtual kubelet's identity.

    cpus, memory (bytes), pods, accelerators ({"nvidia.com/gpu": 8}) override what /pinglink tells Kubernetes; unset,
    the route's site decides. heard_minutes counts the minutes in which anything was heard of this node: an orphan's age
    is measured on this clock, so that a kubelet that is down orphans nothing.
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


class ApiToken(models.Model):
    """A credential of ours: shown once, stored as a SHA-256. Today always a virtual node's."""

    node = models.ForeignKey(VirtualNode, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(max_length=100, blank=True)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False, help_text="the first characters, to recognise it by")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.hint}… of {self.node}"
