"""Tokens and client secrets of virtual nodes. Each is shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework import serializers

from controlplane.api.bodies import given
from controlplane.api.idempotency import idempotent
from controlplane.api.schema import operation
from controlplane.api.tokens import ListOf, NewTokenOut, OneOf, RotateOneOf, TokenIn, TokenView, issued, with_lifetime
from controlplane.auth.roles import Action
from controlplane.auth.tokens import delegation, issue
from controlplane.tenants.models import ApiToken
from controlplane.tenants.queries import tokens_of
from sites import queries

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

    from controlplane.reach import Reached


class NodeTokenIn(TokenIn):
    kind = serializers.ChoiceField(
        [ApiToken.Kind.NODE, ApiToken.Kind.CLIENT],
        default=ApiToken.Kind.NODE,
        help_text="client: a secret that /oauth2/token exchanges for short-lived tokens",
    )


class OfNode(TokenView):
    actions = {"GET": Action.NODES_READ, "POST": Action.NODES_CHANGE, "DELETE": Action.NODES_CHANGE}
    words = {"Of": "VirtualNode", "of": "a virtual node's"}

    def rows(self, **address: str) -> Reached[ApiToken]:
        return tokens_of(queries.virtual_node(self.reach, address["node"]))


class NodeTokens(OfNode, ListOf):
    @operation(
        "createVirtualNodeToken", "Make a token for a virtual node", takes=NodeTokenIn, answers={201: NewTokenOut}
    )
    @idempotent
    def post(self, request: Request, node: str) -> Response:
        """Write it into the kubelet's token file without a final newline: Go refuses a header that has one."""
        row = queries.virtual_node(self.reach, node)
        values = given(request, NodeTokenIn)
        delegation.check(self.caller, scopes=(), tenant_id=row.tenant_id)
        return issued(*issue.mint(row, **with_lifetime(values)))


class NodeToken(OfNode, OneOf):
    """Shows and revokes a token of a virtual node."""


class RotateNodeToken(OfNode, RotateOneOf):
    """Replaces a token of a virtual node."""
