"""Tombstones of pods that were deleted before their create arrived."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models import VirtualNode


class TombstoneRows(Reached["Tombstone"]):
    """Queries on tombstones, which belong to the tenant of their node."""

    tenant = "node__tenant"


class Tombstone(models.Model):
    """A pod that was deleted before its create arrived. The late create must not start it."""

    node = models.ForeignKey(VirtualNode, on_delete=models.CASCADE, help_text="whose kubelet deleted the pod")
    pod_uid = models.UUIDField(help_text="the pod's UID in its cluster")
    created_at = models.DateTimeField(default=timezone.now, help_text="when it was deleted; it is kept for a while")

    objects = TombstoneRows.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "pod_uid"], name="one_tombstone_for_a_pod_of_a_node")]

    def __str__(self) -> str:
        return str(self.pod_uid)
