from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from controlplane.auth import tokens
from controlplane.tenants.models import ApiToken, Person, VirtualNode
from tests.factories import make_node, make_tenant

pytestmark = pytest.mark.django_db


def test_a_new_node_shows_its_token_once_and_stores_only_its_hash(operator: Client) -> None:
    fields = {"tenant": make_tenant().pk, "slug": "new-node", "enabled": "on", "accelerators": "{}"}
    inline = {"tokens-TOTAL_FORMS": "0", "tokens-INITIAL_FORMS": "0"}
    page = operator.post("/admin/tenants/virtualnode/add/", fields | inline)
    [text] = re.findall(r"isn_\w+", page.content.decode())
    assert "no-store" in page["Cache-Control"]
    assert ApiToken.objects.get(node__slug="new-node").digest == tokens.digest(text)
    again = operator.get(f"/admin/tenants/virtualnode/{VirtualNode.objects.get().pk}/change/")
    assert text not in again.content.decode()


def test_issuing_leaves_the_older_token_good_and_revoking_ends_both(operator: Client) -> None:
    node, _ = make_node()
    chosen = {"_selected_action": [node.pk]}
    operator.post("/admin/tenants/virtualnode/", chosen | {"action": "issue_token"})
    assert ApiToken.objects.filter(node=node, revoked_at=None, expires_at__gt=timezone.now()).count() == 2
    operator.post("/admin/tenants/virtualnode/", chosen | {"action": "revoke_tokens"})
    assert not ApiToken.objects.filter(node=node, revoked_at=None).exists()


def test_a_person_who_is_no_administrator_is_sent_to_the_login() -> None:
    client = Client()
    client.force_login(Person.objects.create_user("somebody"))
    assert "/admin/login/" in client.get("/admin/tenants/virtualnode/")["Location"]
