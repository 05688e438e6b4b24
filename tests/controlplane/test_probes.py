from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test import Client


@pytest.mark.django_db
def test_ready_means_that_postgresql_answers() -> None:
    assert Client().get("/readyz").status_code == 200


@pytest.mark.django_db
def test_without_postgresql_the_service_is_alive_and_not_ready() -> None:
    def no_connection(*_: object) -> None:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(no_connection):
        assert Client().get("/readyz").status_code == 503
        assert Client().get("/healthz").status_code == 200
