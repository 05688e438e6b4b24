"""Callers that act for a tenant and are not people: virtual nodes and service accounts."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models.rights import Membership
from controlplane.tenants.models.tenants import Tenant


class VirtualNode(models.Model):
    """The identity of one virtual kubelet.

    Written by controlplane/tenants/administration.py, except columns whose help text names another file.
    """

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="nodes", help_text="the tenant whose pods it sends"
    )
    slug = models.SlugField(max_length=63, unique=True, help_text="its name in addresses; no other tenant may have it")
    name = models.CharField(max_length=200, blank=True, help_text="its name for people")
    enabled = models.BooleanField(default=True, help_text="off: its tokens are refused, and its held pods wait")
    cpus = models.PositiveIntegerField(
        null=True, blank=True, help_text="CPUs that Kubernetes is told of; empty: the allocation and the site decide"
    )
    memory = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="bytes that Kubernetes is told of; empty: the allocation and the site decide"
    )
    pods = models.PositiveIntegerField(
        null=True, blank=True, help_text="pods that Kubernetes is told of; empty: the allocation decides"
    )
    accelerators = models.JSONField(
        default=dict,
        blank=True,
        help_text='{"nvidia.com/gpu": 8} and the like, told to Kubernetes; empty: the allocation and the site decide',
    )
    heard_at = models.DateTimeField(
        null=True, editable=False, help_text="when it was last heard. Written by jobs/interlink/last_heard.py."
    )
    heard_minutes = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="the number of minutes in which it was heard: the clock by which its jobs become orphans, so that "
        "they do not while it is down. Written by jobs/interlink/last_heard.py.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it was made")

    objects = Reached.as_manager()

    def __str__(self) -> str:
        return self.slug


class ServiceAccount(models.Model):
    """A program that calls the REST API for a tenant. Written by controlplane/tenants/administration.py."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="service_accounts", help_text="the tenant that it acts for"
    )
    slug = models.SlugField(max_length=63, help_text="its name in addresses; unique within the tenant")
    name = models.CharField(max_length=200, blank=True, help_text="its name for people")
    role = models.CharField(
        max_length=10,
        choices=Membership.Role.choices,
        default=Membership.Role.MEMBER,
        help_text="what it may do for the tenant",
    )
    enabled = models.BooleanField(default=True, help_text="off: its tokens are refused")
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it was made")

    objects = Reached.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="service_account_name_is_the_tenants")]

    def __str__(self) -> str:
        return self.slug
