"""Which virtual node sends where."""

from __future__ import annotations

from django.db import models

from controlplane.tenants.models import VirtualNode
from sites.models.site import Site


class Route(models.Model):
    """Where a virtual node sends its pods."""

    node = models.OneToOneField(
        VirtualNode, on_delete=models.CASCADE, related_name="route", help_text="the virtual node that sends"
    )
    site = models.ForeignKey(
        Site,
        on_delete=models.PROTECT,
        related_name="routes",
        help_text="where its pods go from now on. Written by sites/nodes.py.",
    )

    def __str__(self) -> str:
        return f"{self.node.slug} → {self.site.slug}"
