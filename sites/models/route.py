"""Routes: the site that a virtual node sends its pods to."""

from __future__ import annotations

from django.db import models

from controlplane.reach import AtSite
from controlplane.tenants.models import VirtualNode
from sites.models.site import Site


class RouteRows(AtSite["Route"]):
    """The queryset of routes. A tenant sees the routes of its nodes, a site's operators those that lead to the site."""

    tenant = "node__tenant"


class Route(models.Model):
    """The site that a virtual node sends its pods to."""

    node = models.OneToOneField(
        VirtualNode, on_delete=models.CASCADE, related_name="route", help_text="the virtual node that sends"
    )
    site = models.ForeignKey(
        Site,
        on_delete=models.PROTECT,
        related_name="routes",
        help_text="where its pods go from now on. Written by sites/nodes.py.",
    )

    objects = RouteRows.as_manager()

    def __str__(self) -> str:
        return f"{self.node.slug} → {self.site.slug}"
