"""What every view of the API has: a caller, leave for the action, and a transaction that sees only its reach."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import transaction
from rest_framework.views import APIView

from controlplane.audit import actors, trail
from controlplane.audit.models import Event
from controlplane.auth.authentication import BearerAuthentication, SessionAuthentication
from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.errors import Forbidden
from controlplane.tenants.scope import seeing, seeing_everything
from sites.models import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponseBase
    from rest_framework.request import Request
    from rest_framework.response import Response

    from controlplane.auth.rights import Reach
    from controlplane.auth.roles import Action

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiView(APIView):
    """`actions` names the action of each method that there is.

    A handler runs in one transaction, which is committed when it returns and rolled back when it raises. `self.caller`
    is who calls, `self.reach` what the action may touch. A streamed answer must look things up in transactions of its
    own (`rows_within`), since it is sent when this one is over.
    """

    authentication_classes = [BearerAuthentication, SessionAuthentication]
    actions: ClassVar[Mapping[str, Action]] = {}
    caller: PersonCaller | ServiceCaller
    reach: Reach

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self._is_open = False
        with ExitStack() as self._transaction:
            response = super().dispatch(request, *args, **kwargs)
        if response.status_code == Forbidden.status and request.method not in _SAFE:
            self._record_refusal(request)
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not isinstance(request.user, (PersonCaller, ServiceCaller)):
            raise Forbidden("A virtual node's token opens the interLink wire only; call this with one of your own.")
        self.caller = request.user
        actors.bind(self.caller.actor)
        self.check_leave(request)

    def check_leave(self, request: Request) -> None:
        """Whether the caller may do this at all; from here on only rows within the action's reach are there."""
        self.reach = self.caller.rights.reach(self.actions[request.method or ""])
        self._transaction.enter_context(rows_within(self.reach, self.caller))
        self._is_open = True

    def handle_exception(self, exc: Exception) -> Response:
        if self._is_open:
            transaction.set_rollback(True)
        return super().handle_exception(exc)

    def _record_refusal(self, request: Any) -> None:
        route = request.resolver_match.route if request.resolver_match else ""
        with seeing():
            trail.record("api.refused", "route", f"{request.method} {route}", outcome=Event.Outcome.REFUSED)


def rows_within(reach: Reach, caller: PersonCaller | ServiceCaller) -> AbstractContextManager[None]:
    """A transaction that sees what lies within `reach`, and the person's own memberships and tokens."""
    if reach.everything:
        return seeing_everything()
    sites = Site.objects.filter(slug__in=reach.sites).values_list("pk", flat=True) if reach.sites else ()
    person = caller.person_id if isinstance(caller, PersonCaller) else None
    return seeing(tenants=reach.tenants, sites=list(sites), person=person)
