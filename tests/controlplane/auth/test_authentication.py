"""Bearer tokens: a good one identifies the virtual node, all others get a 401 with a sentence."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from controlplane import remembered
from controlplane.auth import callers
from controlplane.auth.callers import FoundToken, NodeCaller, TokenMemory
from controlplane.errors import Unauthenticated
from controlplane.tenants.models import ApiToken
from tests.factories import make_node
from tests.wire import call

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db
IN_A_YEAR = 4e9


def test_a_good_token_identifies_its_node() -> None:
    node, token = make_node()
    assert call("POST", "/updateCache", token=token).status == 200
    caller = callers.memory.caller(token, find=_never_asked)
    assert caller == NodeCaller(node.pk, node.tenant_id, node.slug, ApiToken.objects.get().pk)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "bearer", "Basic dXNlcjpwYXNz", "isn_x", "Bearer\tx"])
def test_no_token_or_another_scheme_is_a_401_with_a_bearer_challenge(header: str) -> None:
    answer = call("POST", "/pinglink", headers={"Authorization": header})
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.text.endswith(".")


def test_an_unknown_but_well_formed_token_is_a_401() -> None:
    node, token = make_node()
    node.tokens.all().delete()
    assert call("POST", "/pinglink", token=token).status == 401


def test_a_mistyped_token_costs_no_query(django_assert_num_queries: Any) -> None:
    token = make_node()[1]
    with django_assert_num_queries(0):
        assert call("POST", "/pinglink", token=token[:-1] + ("0" if token[-1] != "0" else "1")).status == 401


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired"),
        ({"revoked_at": timezone.now()}, "revoked"),
    ],
)
def test_an_expired_or_revoked_token_is_a_401_that_says_so(change: dict[str, Any], word: str) -> None:
    _, token = make_node()
    ApiToken.objects.update(**change)
    answer = call("POST", "/pinglink", token=token)
    assert answer.status == 401
    assert word in answer.text


def test_the_tokens_of_a_disabled_tenant_are_refused() -> None:
    node, token = make_node()
    node.tenant.enabled = False
    node.tenant.save()
    assert call("POST", "/pinglink", token=token).status == 401


def test_a_token_file_that_ends_with_a_space_still_works() -> None:
    _, token = make_node()
    assert call("POST", "/updateCache", headers={"Authorization": f"Bearer  {token} "}).status == 200


def test_a_verified_token_is_remembered_for_a_few_seconds_only(settings: Any) -> None:
    settings.TOKEN_MEMORY = 5
    asked: list[bytes] = []
    memory, token = TokenMemory(), make_node()[1]
    find = _found(asked, expires_at=IN_A_YEAR)
    assert [memory.caller(token, find=find) for _ in range(3)]
    assert len(asked) == 1
    settings.TOKEN_MEMORY = 0
    remembered.forget_everything()
    assert [memory.caller(token, find=find) for _ in range(3)]
    assert len(asked) == 4


def test_a_token_is_not_remembered_past_its_expiry(settings: Any) -> None:
    settings.TOKEN_MEMORY = 5
    asked: list[bytes] = []
    memory, token = TokenMemory(), make_node()[1]
    memory.caller(token, find=_found(asked, expires_at=timezone.now().timestamp() + 0.05))
    time.sleep(0.06)
    with pytest.raises(Unauthenticated):
        memory.caller(token, find=_found(asked, expires_at=timezone.now().timestamp() - 0.01))
    assert len(asked) == 2


def test_a_refused_token_is_not_remembered() -> None:
    memory, token = TokenMemory(), make_node()[1]
    with pytest.raises(Unauthenticated):
        memory.caller(token, find=lambda _digest: None)
    assert memory.caller(token, find=_found([], expires_at=IN_A_YEAR)).slug == "n"


def _found(asked: list[bytes], *, expires_at: float) -> Callable[[bytes], FoundToken]:
    def find(digest: bytes) -> FoundToken:
        asked.append(digest)
        return FoundToken(1, "node", expires_at, False, True, 1, 1, "n", None, None, "")  # noqa: FBT003  (a row)

    return find


def _never_asked(_digest: bytes) -> FoundToken | None:
    raise AssertionError("the token was not remembered")
