"""Every address under /api/v1/. A test calls all of them with every role (tests/test_roles.py)."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from controlplane.api import audit, me, members, service_accounts, tenants, tokens, try_claims
from controlplane.api.openapi import Docs, openapi
from controlplane.api.views import Unknown
from jobs.api import job_cancel, job_explain, job_log, jobs, usage
from sites.api import allocations, approval_requests, role_grants, sites, virtual_node_tokens, virtual_nodes

_ACCOUNT = "tenants/<slug:tenant>/service-accounts/<slug:account>"
_NODE = "virtual-nodes/<slug:node>"


def _tokens(
    several: type[tokens.ListOf], one: type[tokens.OneOf], rotate: type[tokens.RotateOneOf]
) -> list[URLPattern]:
    return [
        path("tokens", several.as_view()),
        path("tokens/<int:token>", one.as_view()),
        path("tokens/<int:token>/rotate", rotate.as_view()),
    ]


urlpatterns: list[URLPattern | URLResolver] = [
    path("openapi.json", openapi, name="openapi"),
    path("docs", Docs.as_view()),
    path("me", me.Me.as_view()),
    path("", include(_tokens(tokens.PersonalTokens, tokens.PersonalToken, tokens.RotatePersonalToken))),
    path("tenants", tenants.Tenants.as_view()),
    path("tenants/<slug:tenant>", tenants.OneTenant.as_view()),
    path("tenants/<slug:tenant>/members", members.Members.as_view()),
    path("tenants/<slug:tenant>/members/<int:membership>", members.OneMember.as_view()),
    path("tenants/<slug:tenant>/service-accounts", service_accounts.ServiceAccounts.as_view()),
    path(_ACCOUNT, service_accounts.OneServiceAccount.as_view()),
    path(f"{_ACCOUNT}/", include(_tokens(tokens.ServiceTokens, tokens.ServiceToken, tokens.RotateServiceToken))),
    path("virtual-nodes", virtual_nodes.VirtualNodes.as_view()),
    path(_NODE, virtual_nodes.OneVirtualNode.as_view()),
    path(
        f"{_NODE}/",
        include(
            _tokens(virtual_node_tokens.NodeTokens, virtual_node_tokens.NodeToken, virtual_node_tokens.RotateNodeToken)
        ),
    ),
    path("roles", role_grants.Roles.as_view()),
    path("roles/<int:role>", role_grants.OneRole.as_view()),
    path("claims/try", try_claims.TryClaims.as_view()),
    path("audit", audit.Audit.as_view()),
    path("sites", sites.Sites.as_view()),
    path("sites/<slug:site>", sites.SiteDetail.as_view()),
    path("allocations", allocations.Allocations.as_view()),
    path("allocations/<int:allocation>", allocations.OneAllocation.as_view()),
    path("allocations/<int:allocation>/revoke", allocations.RevokeAllocation.as_view()),
    path("requests", approval_requests.Requests.as_view()),
    path("requests/<int:number>", approval_requests.OneRequest.as_view()),
    path("requests/<int:number>/decide", approval_requests.DecideRequest.as_view()),
    path("requests/<int:number>/withdraw", approval_requests.WithdrawRequest.as_view()),
    path("jobs", jobs.Jobs.as_view()),
    path("jobs/explain", job_explain.ExplainJob.as_view()),
    path("jobs/<slug:key>", jobs.JobDetail.as_view()),
    path("jobs/<slug:key>/cancel", job_cancel.JobCancel.as_view()),
    path("jobs/<slug:key>/log", job_log.JobLog.as_view()),
    path("usage", usage.Usage.as_view()),
    re_path("", Unknown.as_view()),
]
