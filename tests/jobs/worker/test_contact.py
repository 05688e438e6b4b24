"""A silent site: its circuit breaker, what its jobs show meanwhile, and that other sites do not notice."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connections
from django.utils import timezone

from jobs import tasks
from jobs.models import Job
from jobs.placement import ranking, routes
from jobs.states import State
from jobs.worker import due
from sites.connectors.memory.site import memory_site
from sites.models import Site
from sites.workload import Demand
from tests.factories import make_job, make_node, make_site
from tests.jobs.clock import probe_now, submit_now

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite


def test_the_first_unanswered_call_opens_the_breaker(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    make_job(node=node)
    memory.go_silent(message="Connection refused.")
    tasks.submit(vega.pk)
    vega.refresh_from_db()
    assert vega.silent_since is not None
    assert vega.silence == "Connection refused."


def test_while_the_breaker_is_open_only_the_probe_calls_the_site(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    make_job(node=node)
    memory.go_silent()
    tasks.submit(vega.pk)
    memory.calls.clear()
    make_job(node=node)
    for task in (tasks.submit, tasks.poll, tasks.cancel, tasks.clean, tasks.probe):
        task(vega.pk)
    assert list(memory.calls) == []  # the probe is not due yet
    probe_now(vega)
    assert list(memory.calls) == [("capacity", 0)]


def test_waiting_pods_show_that_their_site_is_silent_until_it_answers(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    make_job(node=node)
    late = make_job(node=node, next_submit_at=timezone.now() + timedelta(hours=1))
    memory.go_silent(message="Connection refused.")
    tasks.submit(vega.pk)
    vega.refresh_from_db()
    late.refresh_from_db()
    assert late.reason == "SiteSilent"
    assert late.message == (
        f"Vega has not answered since {vega.silent_since:%Y-%m-%d %H:%M} UTC (Connection refused). "
        "The pod starts when it does."
    )
    assert late.message in late.status_exact
    memory.answer_again()
    probe_now(vega)
    late.refresh_from_db()
    assert (late.reason, late.message) == ("", "")


def test_a_new_pod_shows_the_sites_silence_after_the_next_probe(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    memory.go_silent()
    probe_now(vega)
    job = make_job(node=node)
    probe_now(vega)
    job.refresh_from_db()
    assert job.reason == "SiteSilent"


def test_a_running_pod_keeps_its_state_and_message(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node, state=State.RUNNING)
    before = job.status_exact
    memory.go_silent()
    probe_now(vega)
    job.refresh_from_db()
    assert job.status_exact == before


def test_probes_come_at_growing_intervals(vega: Site, memory: MemorySite) -> None:
    memory.go_silent()
    waits = []
    for _ in range(10):
        probe_now(vega)
        vega.refresh_from_db()
        assert vega.next_probe_at is not None
        waits.append((vega.next_probe_at - timezone.now()).total_seconds())
    assert waits[0] <= 2
    assert waits == sorted(waits[:8]) + waits[8:]
    assert 200 < waits[-1] <= 300


def test_a_site_that_answers_probes_and_fails_at_work_is_called_ever_less(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    make_job(node=node)
    memory.go_silent("submit", "find", message="The disk is full.")
    failures = []
    for _ in range(4):
        submit_now(vega)
        Job.objects.filter(state=State.SUBMITTING).update(next_find_at=timezone.now())
        tasks.submit(vega.pk)
        vega.refresh_from_db()
        failures.append(vega.failures)
        probe_now(vega)
    assert failures == [1, 2, 3, 4]


def test_a_call_refused_as_a_whole_leaves_the_pods_waiting(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node)
    Site.objects.filter(pk=vega.pk).update(config={})  # without a name the connector cannot be opened
    tasks.submit(vega.pk)
    job.refresh_from_db()
    vega.refresh_from_db()
    assert job.state == State.SUBMITTING
    assert "name" in vega.silence


def test_after_recovery_the_site_gets_the_calls_that_were_due(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    make_job(node=node)
    memory.go_silent()
    tasks.submit(vega.pk)
    now = timezone.now() + timedelta(days=1)
    assert set(due.work(now=now)) == {("probe", vega.pk)}
    memory.answer_again()
    probe_now(vega)
    assert ("submit", vega.pk) in set(due.work(now=now))


def test_a_site_of_an_unknown_kind_is_silent_with_a_sentence(vega: Site, memory: MemorySite) -> None:
    Site.objects.filter(pk=vega.pk).update(kind="nothing")
    probe_now(vega)
    vega.refresh_from_db()
    assert "nothing" in vega.silence


@pytest.mark.django_db(transaction=True)
def test_a_hanging_site_delays_no_other(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    leonardo = make_site(slug="leonardo", name="Leonardo", config={"name": "leonardo"})
    make_job(node=node)
    there = make_job(node=make_node(site=leonardo)[0])
    memory.latency = 3
    hanging = threading.Thread(target=_in_thread, args=(vega.pk,))
    hanging.start()
    try:
        while not memory.calls:
            time.sleep(0.01)
        began = time.monotonic()
        tasks.submit(leonardo.pk)
        tasks.submit(vega.pk)  # its lane is taken: the second worker goes on to other work
        assert time.monotonic() - began < 1
        there.refresh_from_db()
        assert there.state == State.PENDING
        assert memory_site("leonardo").keys() == [there.attempt_key]
    finally:
        hanging.join()


def _in_thread(site_id: int) -> None:
    try:
        tasks.submit(site_id)
    finally:
        connections.close_all()


def test_a_pod_created_meanwhile_shows_at_once_why_it_waits(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    make_job(node=node)
    memory.go_silent(message="Connection refused.")
    tasks.submit(vega.pk)
    [answer] = ranking.rank(Demand(), routes.of_node(node.pk, now=timezone.now()).situations)
    assert answer.why is not None
    assert (answer.site.pk, answer.why.reason) == (vega.pk, "SiteSilent")
    assert "Connection refused" in answer.why.message
