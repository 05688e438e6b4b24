"""/virtual-nodes: the identities of virtual kubelets, and which site each sends to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, Resources, asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.errors import Invalid, NotFound
from controlplane.tenants.models import VirtualNode
from sites import nodes

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from controlplane.tenants.models import Tenant
    from sites.models import Site

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
        extra_kwargs = {"heard_at": {"help_text": "when it was last heard, to the minute"}}


class VirtualNodeChange(Input):
    """Sizes override what Kubernetes is told of the node; null is what the allocation and the site say."""

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
    slug = serializers.SlugField(max_length=63, help_text="in the addresses that its kubelet calls, and unique here")
    tenant = serializers.SlugField(max_length=63)
    site = serializers.SlugField(
        max_length=63, help_text="where it sends its pods: a site at which the tenant has an allocation"
    )


class VirtualNodeQuery(PageQuery):
    tenant = serializers.SlugField(max_length=63, required=False)


_EXAMPLE = OpenApiExample(
    "a virtual node", {"slug": "chemistry-1", "tenant": "chemistry", "site": "vega"}, request_only=True
)


class NodeView(ApiView):
    def nodes(self) -> QuerySet[VirtualNode]:
        """The virtual nodes within reach."""
        return VirtualNode.objects.filter(tenant__in=self.tenants()).select_related("tenant", "route__site")

    def node(self, slug: str) -> VirtualNode:
        """NotFound where there is none of this slug within reach."""
        found = self.nodes().filter(slug=slug).first()
        if found is None:
            raise NotFound(f"There is no virtual node {slug} here.")
        return found

    def site(self, tenant: Tenant, slug: str) -> Site:
        """Where the tenant's nodes may send: a federation operator may say so without an allocation."""
        return nodes.site_for(tenant, slug, anywhere=self.reach.everything)


class VirtualNodes(NodeView):
    actions = {"GET": Action.NODES_READ, "POST": Action.NODES_CHANGE}

    @operation("listVirtualNodes", "List the virtual nodes", query=VirtualNodeQuery, answers=pages_of(VirtualNodeOut))
    def get(self, request: Request) -> Response:
        query = asked(request, VirtualNodeQuery)
        rows = self.nodes()
        if "tenant" in query:
            rows = rows.filter(tenant__slug=query["tenant"])
        return page(request, rows, query, _shown)

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
        """Make a token of it next, for its kubelet."""
        values = given(request, VirtualNodeIn)
        slug = values.pop("tenant")
        tenant = self.tenants().filter(slug=slug).first()
        if tenant is None:
            raise Invalid({"tenant": f"There is no tenant {slug} here."})
        node = nodes.create_node(tenant, site=self.site(tenant, values.pop("site")), **values)
        return Response(_shown(node), status=201)


class OneVirtualNode(NodeView):
    actions = {"GET": Action.NODES_READ, "PATCH": Action.NODES_CHANGE}

    @operation("getVirtualNode", "See a virtual node", answers=VirtualNodeOut)
    def get(self, request: Request, node: str) -> Response:
        return Response(_shown(self.node(node)))

    @operation("changeVirtualNode", "Change a virtual node", takes=VirtualNodeChange, answers=VirtualNodeOut)
    def patch(self, request: Request, node: str) -> Response:
        row = self.node(node)
        values = given(request, VirtualNodeChange)
        slug = values.pop("site", None)
        site = None if slug is None else self.site(row.tenant, slug)
        return Response(_shown(nodes.change_node(row, values, site=site)))


def _shown(node: VirtualNode) -> dict[str, Any]:
    return dict(VirtualNodeOut(node).data)
