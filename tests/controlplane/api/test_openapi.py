"""The OpenAPI description: it is committed, it is complete, and its pages load nothing from other hosts."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from django.conf import settings
from drf_spectacular.drainage import GENERATOR_STATS
from rest_framework.views import APIView

from controlplane.api import idempotency, openapi, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

DOCUMENT: dict[str, Any] = orjson.loads(openapi.description())


def operations() -> Iterator[Any]:
    for path, methods in DOCUMENT["paths"].items():
        for method, told in methods.items():
            yield pytest.param(path, method, told, id=f"{method.upper()} {path}")


def test_the_committed_description_matches_the_views() -> None:
    page = settings.BASE_DIR / "docs" / "openapi.json"
    assert page.read_text(encoding="utf-8") == openapi.description(), "Run `manage.py draw_openapi`."


def test_the_served_description_matches_the_committed_one(client: Client) -> None:
    answer = client.get("/api/v1/openapi.json")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")


@pytest.mark.parametrize("kept", ["First.\n\n        Second.\n        ", "First.\n\nSecond.\n"], ids=["3.12", "3.13"])
def test_a_docstring_is_the_same_with_every_python_version(kept: str) -> None:
    class View(APIView):
        def get(self) -> None: ...

    View.get.__doc__ = kept
    described = schema.ApiSchema()
    described.view, described.method = View(), "GET"
    assert described.get_description() == "First.\n\nSecond."


def test_the_description_is_drawn_without_a_warning() -> None:
    assert not GENERATOR_STATS


def test_no_two_operations_have_the_same_name() -> None:
    names = [told["operationId"] for methods in DOCUMENT["paths"].values() for told in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("path", "method", "told"), list(operations()))
def test_each_operation_describes_all_its_answers(path: str, method: str, told: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z][A-Za-z]+", told["operationId"])
    assert told["summary"]
    assert told["security"] == [{"bearer": []}]
    expected = (
        {"401", "403", "429", "503"}
        | ({"404"} if "{" in path else set())
        | ({"400", "413", "415"} if "requestBody" in told else set())
    )
    assert expected <= set(told["responses"])
    for status in set(told["responses"]) - {"200", "201", "202", "204"}:
        assert told["responses"][status] == {"$ref": f"#/components/responses/{schema.ERRORS[int(status)][0]}"}


@pytest.mark.parametrize(("path", "method", "told"), list(operations()))
def test_each_creation_accepts_an_idempotency_key(path: str, method: str, told: dict[str, Any]) -> None:
    headers = {each["name"] for each in told.get("parameters", []) if each["in"] == "header"}
    assert (idempotency.HEADER in headers) is ("201" in told["responses"])


@pytest.mark.django_db  # the client closes connections after each answer
def test_the_pages_load_nothing_from_other_hosts(client: Client) -> None:
    page = client.get("/api/v1/docs")
    policy = page["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert len(sources) >= 4
    assert all(source.startswith("/") for source in sources)
    assert not re.search(r"<script>|<script [^>]*>[^<]", page.content.decode())
    for source in sources:
        with closing(client.get(source.replace("&amp;", "&"))) as found:
            assert found.status_code == 200, source
