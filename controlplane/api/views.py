"""The base of all API views: identifies the caller, checks permission, and limits the transaction to the reach."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import transaction
from django.http import Http404
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.views import APIView

from controlplane.api import rate_limit
from controlplane.api.bodies import JsonBody
from controlplane.audit import actors, trail
from controlplane.audit.models import Event
from controlplane.auth.authentication import BearerAuthentication, SessionAuthentication
from controlplane.auth.callers import NodeCaller
from controlplane.errors import Forbidden, NotFound
from controlplane.tenants.scope import seeing, seeing_reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http import HttpResponseBase
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.parsers import BaseParser
    from rest_framework.request import Request
    from rest_framework.response import Response

    from controlplane.api.rate_limit import Limit
    from controlplane.auth.callers import PersonCaller, ServiceCaller
    from controlplane.auth.roles import Action
    from controlplane.reach import Reach

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Negotiation(DefaultContentNegotiation):
    """DRF's negotiation, but an unknown `?format=` is a 406, like an unknown Accept, instead of a 404."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:  # noqa: A002  (DRF's signature)
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            raise NotAcceptable from None


class ApiView(APIView):
    """Base of every view. `actions` maps each method to its action; a method without one is refused to everybody.

    A handler runs in one transaction, which is committed when it returns and rolled back when it raises. `self.caller`
    is the authenticated caller, `self.reach` the rows that the action may touch. A streamed answer must open its own
    transactions (`seeing_reach`), because it is sent after the handler's transaction has ended.
    """

    authentication_classes: Sequence[type[BaseAuthentication]] = [BearerAuthentication, SessionAuthentication]
    content_negotiation_class: type[BaseContentNegotiation] = Negotiation
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    parser_classes: Sequence[type[BaseParser]] = [JsonBody]
    renderer_classes: Sequence[type[BaseRenderer]] = [JSONRenderer]
    actions: ClassVar[Mapping[str, Action]] = {}
    caller: PersonCaller | ServiceCaller
    reach: Reach

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self._is_open = False
        self._limit: Limit | None = None
        with ExitStack() as self._transaction:
            response = super().dispatch(request, *args, **kwargs)
        if response.status_code == Forbidden.status and request.method not in _SAFE:
            route = request.resolver_match.route if request.resolver_match else ""
            with seeing():
                trail.record("api.refused", "route", f"{request.method} {route}", outcome=Event.Outcome.REFUSED)
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if isinstance(self.caller, NodeCaller):
            raise Forbidden("A virtual node's token is for the interLink wire only; call this with your own token.")
        self.check_permission(request)

    def perform_authentication(self, request: Request) -> None:
        """Identifies the caller, also for the audit trail. Raises TooMany if they have called too often."""
        super().perform_authentication(request)
        caller: Any = request.user
        if caller is None:
            return
        self.caller = caller
        actors.bind(caller.actor)
        self._limit = rate_limit.count(caller.actor)
        self._limit.check()

    def check_permission(self, request: Request) -> None:
        """Raises Forbidden unless the caller may do this. From here on, the handler sees only rows within its reach."""
        action = self.actions.get(self.handled_method(request))
        if action is None:
            raise Forbidden("No role is allowed to do this.")
        self.see(self.caller.rights.reach(action))

    def see(self, reach: Reach) -> None:
        """Opens the handler's transaction, which sees only rows within `reach`."""
        self.reach = reach
        self._transaction.enter_context(seeing_reach(reach, person=self.caller.person_id))
        self._is_open = True

    def close_rows(self) -> None:
        """Ends the transaction before a long answer: the handler then sees no rows and holds no connection."""
        self._transaction.close()
        self._is_open = False

    def handle_exception(self, exc: Exception) -> Response:
        if self._is_open:
            transaction.set_rollback(True)
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in (self._limit.headers(final.status_code) if self._limit else {}).items():
            final[name] = value
        return final

    def handled_method(self, request: Request) -> str:
        """Returns the method as `actions` names it (HEAD is GET). Raises MethodNotAllowed if it has no handler."""
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method.lower() not in self.http_method_names or not hasattr(self, method.lower()):
            self.http_method_not_allowed(request)
        return method


class Unknown(ApiView):
    """Any other address under /api/v1/."""

    schema = None  # not part of the OpenAPI description

    def check_permission(self, request: Request) -> None:
        raise NotFound("There is nothing at this address: /api/v1/docs lists all addresses.")
