"""People, tenants, their roles, nodes, service accounts, tokens.

Row security limits what the web role sees of these tables (scope.py); `controlplane/ops/row_security.py` names the
columns that its policies compare.
"""

from __future__ import annotations

from controlplane.tenants.models.nodes import ServiceAccount, VirtualNode
from controlplane.tenants.models.people import Person
from controlplane.tenants.models.requests import ApprovalRequest
from controlplane.tenants.models.rights import HeldRight, Membership, Origin, RoleGrant
from controlplane.tenants.models.tenants import Tenant
from controlplane.tenants.models.tokens import ApiToken

__all__ = [
    "ApiToken",
    "ApprovalRequest",
    "HeldRight",
    "Membership",
    "Origin",
    "Person",
    "RoleGrant",
    "ServiceAccount",
    "Tenant",
    "VirtualNode",
]
