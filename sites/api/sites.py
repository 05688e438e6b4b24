"""/sites: the sites, their partitions and flavors, and whether they answer. Never their addresses or credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import asked
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from sites import queries
from sites.permissions import may_read_faults

if TYPE_CHECKING:
    from rest_framework.request import Request

    from sites.models import Site

_EXAMPLE = {
    "slug": "vega",
    "name": "Vega",
    "kind": "slurm",
    "enabled": True,
    "answering": False,
    "silent_since": "2026-11-25T09:14:00Z",
    "silence": "Vega has not answered since 2026-11-25 09:14 UTC; waiting jobs start when it answers again.",
    "answered_at": "2026-11-25T09:13:55Z",
    "polled_at": "2026-11-25T09:13:55Z",
    "partitions": [
        {
            "name": "gpu",
            "nodes": 60,
            "cpus": 7680,
            "memory": 32985348833280,
            "gpus": {"a100": 240},
            "time_limit": 172800,
            "default": False,
            "up": True,
            "seen_at": "2026-11-25T09:13:55Z",
        }
    ],
    "flavors": [
        {
            "name": "one-gpu",
            "description": "One A100 with its share of a node",
            "partition": "gpu",
            "cpus": 32,
            "memory": 128849018880,
            "gpus": 1,
            "time_limit": 86400,
            "largest_cpus": 64,
            "largest_memory": None,
            "largest_time_limit": 172800,
        }
    ],
}


class PartitionOut(serializers.Serializer[Any]):
    """A queue of a site, as the site last described it."""

    name = serializers.CharField()
    nodes = serializers.IntegerField()
    cpus = serializers.IntegerField(help_text="over all nodes")
    memory = serializers.IntegerField(help_text="bytes, over all nodes")
    gpus = serializers.DictField(child=serializers.IntegerField(), help_text="kind -> number")
    time_limit = serializers.IntegerField(allow_null=True, help_text="seconds; null means no limit")
    default = serializers.BooleanField()
    up = serializers.BooleanField()
    seen_at = serializers.DateTimeField(help_text="when the site last reported it")


class FlavorOut(serializers.Serializer[Any]):
    """A named bundle of figures that a pod may ask for; null: the pod's own figure, or no limit."""

    name = serializers.CharField()
    description = serializers.CharField()
    partition = serializers.CharField()
    cpus = serializers.IntegerField(allow_null=True)
    memory = serializers.IntegerField(allow_null=True, help_text="bytes")
    gpus = serializers.IntegerField(allow_null=True)
    time_limit = serializers.IntegerField(allow_null=True, help_text="seconds")
    largest_cpus = serializers.IntegerField(allow_null=True)
    largest_memory = serializers.IntegerField(allow_null=True, help_text="bytes")
    largest_time_limit = serializers.IntegerField(allow_null=True, help_text="seconds")


class SiteOut(serializers.Serializer[Any]):
    """A site and its current state."""

    slug = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    enabled = serializers.BooleanField(help_text="false: it is draining and takes no new jobs")
    answering = serializers.BooleanField(source="is_answering")
    silent_since = serializers.DateTimeField(allow_null=True)
    silence = serializers.CharField(help_text="why it is silent, as a sentence; empty while it answers")
    answered_at = serializers.DateTimeField(allow_null=True)
    polled_at = serializers.DateTimeField(allow_null=True, help_text="when it last reported its jobs")
    partitions = PartitionOut(many=True)
    flavors = FlavorOut(many=True)

    def to_representation(self, site: Site) -> dict[str, Any]:
        """context: `reach`, the reach of the caller."""
        full = may_read_faults(self.context["reach"], site)
        return {**super().to_representation(site), "silence": _silence(site, full=full)}


class Sites(ApiView):
    """Lists the sites that the caller may see."""

    actions = {"GET": Action.SITES_READ}

    @operation(
        "listSites",
        "List the sites that you may see",
        answers=pages_of(SiteOut),
        query=PageQuery,
        examples=[OpenApiExample("sites", {"items": [_EXAMPLE], "next": None}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Federation roles see all sites, a site's operators see their site, and members of a tenant see the sites
        where the tenant has an allocation. Each site comes with its partitions and flavors."""
        return page(request, queries.sites(self.reach), asked(request, PageQuery), SiteOut, reach=self.reach)


class SiteDetail(ApiView):
    """Shows one site."""

    actions = {"GET": Action.SITES_READ}

    @operation(
        "getSite",
        "See a site",
        answers=SiteOut,
        examples=[OpenApiExample("a silent site", _EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, site: str) -> Response:
        return Response(shown(SiteOut, queries.site(self.reach, site), reach=self.reach))


def _silence(site: Site, *, full: bool) -> str:
    """Return why the site is silent, as a sentence, or "". full: include the error of the last call."""
    if site.silent_since is None:
        return ""
    why = f" ({site.silence.rstrip('.')})" if full and site.silence else ""
    since = f"{site.silent_since:%Y-%m-%d %H:%M} UTC"
    return f"{site.name} has not answered since {since}{why}; waiting jobs start when it answers again."
