"""Our own tokens: their shape, what is stored of them, and who may call with one."""

from __future__ import annotations

import string
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from controlplane.auth import tokens
from controlplane.tenants.models import ApiToken
from tests.factories import make_node

BASE62 = string.digits + string.ascii_letters


@pytest.mark.django_db
def test_a_token_is_a_prefix_thirty_random_characters_and_a_checksum() -> None:
    _, text = make_node()
    assert text.startswith("isn_")
    assert len(text) == 40
    assert set(text.removeprefix("isn_")) <= set(BASE62)
    assert tokens.is_well_formed(text)


@pytest.mark.django_db
def test_no_two_tokens_are_the_same_and_none_is_stored() -> None:
    node, first = make_node()
    row, second = tokens.mint(node)
    assert first != second
    stored = {name: str(value) for name, value in ApiToken.objects.values().get(pk=row.pk).items()}
    assert not [name for name, value in stored.items() if second[8:] in value]
    assert bytes(row.digest) == tokens.digest(second)
    assert second.startswith(row.hint)


@pytest.mark.django_db
def test_a_token_ends_after_the_lifetime_asked_for() -> None:
    row, _ = tokens.mint(make_node()[0], lifetime=timedelta(hours=1))
    assert timedelta(minutes=59) < row.expires_at - timezone.now() <= timedelta(hours=1)


@given(st.integers(4, 39), st.sampled_from(BASE62))
def test_any_single_typing_error_is_noticed_without_asking_the_database(place: int, wrong: str) -> None:
    text = "isn_0123456789abcdefghijABCDEFGHIJ"
    text += tokens._checksum(text.removeprefix("isn_"))
    assert tokens.is_well_formed(text)
    mistyped = text[:place] + wrong + text[place + 1 :]
    assert tokens.is_well_formed(mistyped) == (mistyped == text)


@given(st.text(max_size=60))
def test_whatever_text_is_shown_is_only_malformed(text: str) -> None:
    assert not tokens.is_well_formed(text)
