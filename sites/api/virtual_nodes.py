"""/virtual-nodes: the identities of virtual kubelets, and the site that each sends its pods to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, Resources, asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.errors import Invalid
from controlplane.tenants.models import Tenant, VirtualNode
from sites import nodes, queries

if TYPE_CHECKING:
    from rest_framework.request import Request

_LARGEST = 2**31 - 1
_LARGEST_BYTES = 2**63 - 1


class VirtualNodeOut(serializers.ModelSerializer[VirtualNode]):
    tenant = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    site = serializers.CharField(
        source="route.site.slug", default=None, read_only=True, allow_null=True, help_text="where it sends its pods"
    )
    accelerators = serializers.DictField(child=serializers.IntegerField(), read_only=True)

    class Meta:
        model = VirtualNode
        fields = read_only_fields = [
            "slug", "name", "tenant", "site", "enabled", "cpus", "memory", "pods", "accelerators", "heard_at",
            "created_at",
        ]  # fmt: skip
        extra_kwargs = {"heard_at": {"help_text": "when its kubelet last called, to the minute"}}


class VirtualNodeChange(Input):
    """The values to change. Sizes are what Kubernetes sees of the node; null: what allocation and site allow."""

    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    site = serializers.SlugField(max_length=63, required=False, help_text="where it sends its pods from now on")
    enabled = serializers.BooleanField(required=False)
    cpus = serializers.IntegerField(min_value=0, max_value=_LARGEST, required=False, allow_null=True)
    memory = serializers.IntegerField(
        min_value=0, max_value=_LARGEST_BYTES, required=False, allow_null=True, help_text="bytes"
    )
    pods = serializers.IntegerField(min_value=0, max_value=_LARGEST, required=False, allow_null=True)
    accelerators = Resources(required=False, help_text="resource -> number")


class VirtualNodeIn(VirtualNodeChange):
    slug = serializers.SlugField(
        max_length=63, help_text="part of the addresses that its kubelet calls; unique in this Isthmus"
    )
    tenant = serializers.SlugField(max_length=63)
    site = serializers.SlugField(
        max_length=63, help_text="where it sends its pods: a site at which the tenant has an allocation"
    )


class VirtualNodeQuery(PageQuery):
    tenant = serializers.SlugField(max_length=63, required=False)


_EXAMPLE = OpenApiExample(
    "a virtual node", {"slug": "chemistry-1", "tenant": "chemistry", "site": "vega"}, request_only=True
)


class VirtualNodes(ApiView):
    actions = {"GET": Action.NODES_READ, "POST": Action.NODES_CHANGE}

    @operation("listVirtualNodes", "List the virtual nodes", query=VirtualNodeQuery, answers=pages_of(VirtualNodeOut))
    def get(self, request: Request) -> Response:
        query = asked(request, VirtualNodeQuery)
        return page(request, queries.virtual_nodes(self.reach, query), query, VirtualNodeOut)

    @operation(
        "createVirtualNode",
        "Create a virtual node",
        takes=VirtualNodeIn,
        answers={201: VirtualNodeOut},
        errors=[409],
        examples=[_EXAMPLE],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """The next step is a token for its kubelet."""
        values = given(request, VirtualNodeIn)
        slug = values.pop("tenant")
        tenant = Tenant.objects.within(self.reach).one_or_none(slug=slug)
        if tenant is None:
            raise Invalid({"tenant": f"There is no tenant {slug} here."})
        site = nodes.site_for(tenant, values.pop("site"), self.reach)
        return Response(shown(VirtualNodeOut, nodes.create_node(tenant, site=site, **values)), status=201)


class OneVirtualNode(ApiView):
    actions = {"GET": Action.NODES_READ, "PATCH": Action.NODES_CHANGE}

    @operation("getVirtualNode", "See a virtual node", answers=VirtualNodeOut)
    def get(self, request: Request, node: str) -> Response:
        return Response(shown(VirtualNodeOut, queries.virtual_node(self.reach, node)))

    @operation("changeVirtualNode", "Change a virtual node", takes=VirtualNodeChange, answers=VirtualNodeOut)
    def patch(self, request: Request, node: str) -> Response:
        row = queries.virtual_node(self.reach, node)
        values = given(request, VirtualNodeChange)
        slug = values.pop("site", None)
        site = None if slug is None else nodes.site_for(row.tenant, slug, self.reach)
        return Response(shown(VirtualNodeOut, nodes.change_node(row, values, site=site)))
