"""Who acts for a tenant without being a person: virtual kubelets, and programs."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models.rights import Membership
from controlplane.tenants.models.tenants import Tenant


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

    objects = Reached.as_manager()

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

    objects = Reached.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="service_account_name_is_the_tenants")]

    def __str__(self) -> str:
        return self.slug
