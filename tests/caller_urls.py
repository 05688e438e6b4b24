"""The real addresses and one more that reports the caller. Tests use it as ROOT_URLCONF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import path
from rest_framework.response import Response

from controlplane.api.views import ApiView
from controlplane.auth.callers import PersonCaller
from controlplane.auth.roles import Action
from controlplane.urls import urlpatterns as real

if TYPE_CHECKING:
    from rest_framework.request import Request


class WhoCalls(ApiView):
    """GET needs the right to see jobs, POST to submit a job, DELETE to change tenants."""

    actions = {"GET": Action.JOBS_READ, "POST": Action.JOBS_SUBMIT, "DELETE": Action.TENANTS_CHANGE}

    def get(self, request: Request) -> Response:
        scopes = self.caller.rights.scopes
        return Response(
            {
                "person": self.caller.person_id if isinstance(self.caller, PersonCaller) else None,
                "name": self.caller.name,
                "token": self.caller.token_id,
                "tenants": sorted(self.reach.tenants),
                "scopes": None if scopes is None else sorted(scopes),
            }
        )

    post = delete = get


urlpatterns = [path("api/v1/who", WhoCalls.as_view()), *real]
