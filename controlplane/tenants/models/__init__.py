"""People, tenants, their roles, nodes, service accounts, tokens.

Row security binds the web role on these tables (scope.py); the columns that its policies read are named in
`controlplane/ops/row_security.py`.
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
