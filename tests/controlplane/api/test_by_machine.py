"""Requests generated from the OpenAPI description: none causes a server error or an undocumented answer.

One half of the requests breaks the description, the other half is about things that exist.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import schemathesis
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from controlplane.api import openapi
from controlplane.wsgi import application
from tests.api import role_of
from tests.database_roles import database_role
from tests.federation import new_token, token_of
from tests.wire import connection_left_open

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from schemathesis import APIOperation, Case

    from tests.federation import Communities, Federation

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def served(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The whole application with the web service's database role. The effects of each request are rolled back."""
    role = role_of(os.environ["DATABASE_WEB_URL"])
    with database_role(role), connection_left_open(), transaction.atomic():
        pieces: Any = application(environ, start_response)
        try:
            body = b"".join(pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        transaction.set_rollback(True)
    return [body]


DOCUMENT = orjson.loads(openapi.description())
DESCRIBED = schemathesis.openapi.from_dict(DOCUMENT)
DESCRIBED.app = served
OPERATIONS = [found.ok() for found in DESCRIBED.get_all_operations() if isinstance(found, Ok)]


@pytest.fixture
def tokens(federation: Federation, communities: Communities) -> list[str]:
    """Tokens of the callers with the most rights, whose requests get furthest, and one token with few rights."""
    climate = communities.climate
    return [token_of(who) for who in (federation.olga.person, climate.manager, climate.managing_service)] + [
        federation.vera.token
    ]


@pytest.fixture
def there(federation: Federation, communities: Communities) -> dict[str, Any]:
    """Values for path parameters that name existing things."""
    climate = communities.climate
    return {
        "tenant": "climate",
        "account": "pipeline",
        "node": "climate-1",
        "membership": climate.membership.pk,
        "role": federation.ada.person.role_grants.get().pk,
        "site": "vega",
        "allocation": climate.allocation.pk,
        "number": climate.request.pk,
        "key": climate.job.key,
    }


def test_every_operation_is_tested() -> None:
    assert len(OPERATIONS) == sum(len(methods) for methods in DOCUMENT["paths"].values())


@pytest.mark.django_db
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.label))
def test_no_request_causes_a_server_error_or_an_undocumented_answer(
    operation: APIOperation[Any, Any, Any, Any],
    federation: Federation,
    communities: Communities,
    tokens: list[str],
    there: dict[str, Any],
    settings: Any,
) -> None:
    settings.API_RATE = 0
    ways = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    names = {**there, "token": _token(operation.path, federation, communities)}

    @given(case=st.one_of(ways), token=st.sampled_from(tokens), is_there=st.booleans())
    @_BOUNDED
    def ask(case: Case[Any], token: str, is_there: bool) -> None:  # noqa: FBT001  (drawn)
        if is_there and case.path_parameters:
            case.path_parameters.update({name: names[name] for name in case.path_parameters if name in names})
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

    ask()


#: Every run sends the same requests, so that a failure comes from the change under test.
_BOUNDED = settings(
    max_examples=int(os.environ.get("API_EXAMPLES", "15")),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def _token(path: str, federation: Federation, communities: Communities) -> int:
    """Return the number of a token that is listed under this path."""
    if "service-accounts" in path:
        return new_token(communities.climate.service)[0].pk
    if "virtual-nodes" in path:
        return communities.climate.node.tokens.get().pk
    return new_token(federation.olga.person)[0].pk
