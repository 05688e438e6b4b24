"""The import path of the login backend, which browsers' sessions store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from controlplane.tenants.models import Person

if TYPE_CHECKING:
    from django.test import Client


def test_a_person_who_logged_in_before_an_update_stays_logged_in(client: Client, db: None) -> None:
    ada = Person.objects.create_user("ada", issuer="https://idp.example", subject="ada", name="Ada")
    session = client.session  # as earlier releases wrote it
    session[SESSION_KEY] = str(ada.pk)
    session[BACKEND_SESSION_KEY] = "controlplane.auth.backend.IssuerBackend"
    session[HASH_SESSION_KEY] = ada.get_session_auth_hash()
    session.save()
    assert client.get("/account/").status_code == 200
