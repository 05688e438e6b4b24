"""Each caller has its own limit on the REST API. The wire has no limit, and a dead Redis blocks no caller."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.api import rate_limit
from tests.federation import token_of
from tests.wire import call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api import Api
    from tests.federation import Communities, Federation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _within_one_minute() -> None:
    """Keep the clock's minute constant during a test."""
    left = 60 - time.time() % 60
    if left < 5:
        time.sleep(left)


def test_every_answer_shows_what_is_left(api: Api, federation: Federation, settings: Any) -> None:
    settings.API_RATE = 10
    token = federation.olga.token
    answers = [api.get(path, token=token) for path in ("me", "tenants/nowhere", "tenants?limit=x")]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"caller";q=10;w=60'}
    assert [re.match(r'"caller";r=(\d+);t=\d+$', answer.headers["ratelimit"])[1] for answer in answers] == [  # type: ignore[index]
        "9",
        "8",
        "7",
    ]


def test_a_caller_over_the_limit_waits_and_others_do_not(api: Api, federation: Federation, settings: Any) -> None:
    settings.API_RATE = 2
    token = federation.ada.token
    answers = [api.get("me", token=token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert answers[2].json["code"] == "too_many"
    assert api.get("me", token=token_of(federation.ada.person)).status == 429, "a second token has no limit of its own"
    assert api.get("me", token=federation.nora.token).status == 200


def test_the_wire_is_not_limited(communities: Communities, settings: Any) -> None:
    settings.API_RATE = 1
    answers = [call("POST", "/updateCache", token=communities.climate.node_token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert not any("ratelimit" in answer.headers for answer in answers)


def test_a_limit_of_zero_means_unlimited(api: Api, federation: Federation, settings: Any) -> None:
    settings.API_RATE = 0
    answer = api.get("me", token=federation.nora.token)
    assert answer.status == 200
    assert "ratelimit" not in answer.headers


@pytest.fixture
def no_redis(settings: Any) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    rate_limit.reset()
    yield
    rate_limit.reset()


def test_without_redis_all_callers_are_served_without_delay(
    api: Api, federation: Federation, settings: Any, no_redis: None
) -> None:
    settings.API_RATE = 1
    token, began = federation.nora.token, time.monotonic()
    answers = [api.get("me", token=token) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert time.monotonic() - began < 2
    assert "ratelimit" not in answers[0].headers
