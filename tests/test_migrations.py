"""Migrations that carry data over: what rows of the previous release contain afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOON = timezone.now()


@pytest.fixture
def migrate(transactional_db: None) -> Iterator[Callable[[str], Any]]:
    """Go to a migration of jobs. Return the models of that time. Afterwards all migrations are applied again."""

    def to(name: str) -> Any:
        executor = MigrationExecutor(connection)
        return executor.migrate([("jobs", name)]).apps

    yield to
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_known_facts_of_jobs_and_usage_are_carried_over(migrate: Callable[[str], Any]) -> None:
    old = migrate("0006_fewer_indexes")
    tenant = old.get_model("tenants", "Tenant").objects.create(slug="alpha", name="Alpha")
    site = old.get_model("hpc_sites", "Site").objects.create(slug="vega", name="Vega", kind="memory")
    ada = old.get_model("tenants", "Person").objects.create(username="ada", issuer="https://idp.example", subject="ada")
    common = {"tenant": tenant, "site": site, "person": ada, "pod_name": "p", "pod_namespace": "n", "attempt": 1}
    jobs = old.get_model("jobs", "Job").objects
    ended = NOON - timedelta(days=1)
    lost = jobs.create(
        **common, key="lost", pod_uid="0" * 32, state="failed", reason="Lost", ended_at=ended, submitted_at=ended,
        memory=2**30, partition="long", account="alpha",
    )  # fmt: skip
    jobs.create(**common, key="waits", pod_uid="1" * 32, state="held", reason="Lost")
    old.get_model("jobs", "UsageRecord").objects.create(
        job=lost, tenant=tenant, site=site, person=ada, attempt_key="k", native_id="1", pod="n/p", ended_at=ended,
        cpus=1, gpus=0, nodes=1, cpu_seconds=0, gpu_seconds=0, outcome="failed", recorded_at=ended,
    )  # fmt: skip

    new = migrate("0009_owners")
    lost_at = dict(new.get_model("jobs", "Job").objects.values_list("key", "lost_at"))
    assert lost_at == {"lost": ended, "waits": None}
    assert set(new.get_model("jobs", "Job").objects.values_list("owner_subject", "demand")) == {("ada", None)}
    usage = new.get_model("jobs", "UsageRecord").objects.get()
    assert (usage.owner_issuer, usage.owner_subject) == ("https://idp.example", "ada")
    assert (usage.memory, usage.partition, usage.account, usage.submitted_at) == (2**30, "long", "alpha", ended)
