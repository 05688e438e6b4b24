"""One pod, from the kubelet's request to its usage: the steps of "Follow a pod" in docs/design.md, in order."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import get_resolver
from django.utils import timezone

from jobs import nudge, states, tasks
from jobs.models import Job, UsageRecord
from sites.connectors.memory.site import forget_memory_sites, memory_site
from sites.models import Site
from tests.factories import make_node, make_pod, make_request, make_site
from tests.files_run import files_run
from tests.wire import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sites.connectors.memory.site import MemorySite

    Tell = Callable[[str, set[str]], None]

pytestmark = pytest.mark.django_db(transaction=True)

#: How many of the program's files have functions that run behind a pod: what a newcomer has to open to follow it. A
#: change may raise them for something that a pod needs; the reason then stands here.
FILES_OF_A_POD, FILES_OF_THE_STORY = 53, 65  # as measured, to be lowered with each file that goes


@pytest.fixture
def vega() -> Iterator[Site]:
    """A supercomputer in memory."""
    yield make_site(slug="vega", name="Vega", config={"name": "vega"})
    forget_memory_sites()


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]) -> Tell:
    """Print the files in the run's output and add them to its report."""
    get_resolver().url_patterns  # noqa: B018  (loads everything before counting)

    def tell(whose: str, files: set[str]) -> None:
        record_property(whose, sorted(files))
        with capsys.disabled():
            sys.stdout.write(f"\n{whose}: functions of {len(files)} files\n")

    return tell


@pytest.fixture
def memory(vega: Site) -> MemorySite:
    """The site behind `vega`, which the test controls."""
    return memory_site("vega")


def test_a_pod_from_request_to_usage(vega: Site, memory: MemorySite) -> None:
    # A community has a virtual node that sends its pods to Vega, and its kubelet has a token.
    node, token = make_node(site=vega)
    pod = make_pod(name="simulation", namespace="climate")

    # The kubelet creates a pod. It gets an answer at once, without a call to any site.
    created = call("POST", "/create", make_request(pod), token=token)
    assert created.status == 200
    assert list(memory.calls) == []
    job = Job.objects.get(pod_uid=pod["metadata"]["uid"])
    assert created.json == {"PodUID": pod["metadata"]["uid"], "PodJID": job.key}
    assert state_of(pod, token)["waiting"]["reason"] == "Held"

    # The kubelet restarts and creates the pod again, since it is unsure: it gets the same job.
    assert call("POST", "/create", make_request(pod), token=token).json == created.json

    # A worker learns that there is work at Vega, and submits what is due there.
    tasks.submit(vega.pk)
    job.refresh_from_db()
    assert memory.keys() == [job.attempt_key]
    assert memory.job(job.attempt_key).native_id == job.native_id

    # Vega has other jobs first. The next poll says so, and so does the pod.
    memory.explain_waiting(job.attempt_key, "Priority", "Jobs of higher priority are before it.")
    poll(vega)
    assert state_of(pod, token) == {
        "waiting": {"reason": "Priority", "message": "Jobs of higher priority are before it."}
    }

    # The job starts at noon, and writes to its log.
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    memory.clock = lambda: noon
    memory.start(job.attempt_key)
    memory.write_log(job.attempt_key, "main", b"hello\n")
    poll(vega)
    assert state_of(pod, token) == {"running": {"startedAt": f"{noon:%Y-%m-%dT%H:%M:%SZ}"}}
    assert logs_of(pod, token) == "hello\n"

    # Vega falls silent. Nothing new is known, so nothing changes.
    memory.go_silent()
    poll(vega)
    assert "running" in state_of(pod, token)
    memory.answer_again()
    Site.objects.update(next_probe_at=timezone.now())
    tasks.probe(vega.pk)

    # Two minutes later the job ends successfully.
    memory.clock = lambda: noon + timedelta(minutes=2)
    memory.finish(job.attempt_key)
    poll(vega)
    ended = state_of(pod, token)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")

    # Its usage was recorded with its end, from Vega's own clock; its ConfigMaps and Secrets were erased.
    usage = UsageRecord.objects.get(job=job)
    assert (usage.tenant, usage.site, usage.cpu_seconds, usage.outcome) == (node.tenant, vega, 120, "succeeded")
    job.refresh_from_db()
    assert job.request is None

    # Its log is archived before its folder is cleaned.
    tasks.clean(vega.pk)
    Job.objects.update(next_clean_at=timezone.now())
    tasks.clean(vega.pk)
    assert memory.keys() == []
    assert logs_of(pod, token) == "hello\n"

    # The kubelet deletes the pod, and gets no more answers about it.
    assert call("DELETE", "/delete", pod, token=token).status == 200
    assert call("GET", "/status", [pod], token=token).json == []

    # All of this is in the job's history.
    states = job.history.values_list("new", flat=True)
    assert list(states) == ["held", "queued", "submitting", "pending", "running", "succeeded"]


def test_the_story_runs_through_few_files(vega: Site, memory: MemorySite, tell: Tell) -> None:
    with files_run() as files:
        test_a_pod_from_request_to_usage(vega, memory)
    tell("the story of a pod", files)
    assert len(files) <= FILES_OF_THE_STORY


def test_a_pod_runs_through_few_files(vega: Site, memory: MemorySite, tell: Tell) -> None:
    """From /create to the usage record, without the status and log requests in between."""
    token, request = make_node(site=vega)[1], make_request()
    with files_run() as files:
        assert call("POST", "/create", request, token=token).status == 200
        tasks.submit(vega.pk)
        [key] = memory.keys()
        memory.start(key)
        poll(vega)
        memory.finish(key)
        poll(vega)
    assert UsageRecord.objects.exists()
    tell("a pod from /create to its usage record", files)
    assert len(files) <= FILES_OF_A_POD


def test_code_in_threads_is_counted_and_class_bodies_are_not() -> None:
    with files_run() as files:
        thread = threading.Thread(target=states.diagram)
        thread.start()
        thread.join()
        exec(compile("class Body:\n    x = 1", nudge.__file__, "exec"), {})
    assert files == {"jobs/states.py"}


def poll(site: Site) -> None:
    """Run Vega's next poll now."""
    Site.objects.filter(pk=site.pk).update(next_poll_at=timezone.now())
    tasks.poll(site.pk)


def state_of(pod: dict[str, Any], token: str) -> dict[str, Any]:
    """Poll the pod as its kubelet does, remember the status, and return the state of its container."""
    [told] = call("GET", "/status", [pod], token=token).json
    pod["status"]["containerStatuses"] = told["containers"]
    [container] = told["containers"]
    state: dict[str, Any] = container["state"]
    return state


def logs_of(pod: dict[str, Any], token: str) -> str:
    asked = {
        "Namespace": pod["metadata"]["namespace"],
        "PodUID": pod["metadata"]["uid"],
        "PodName": pod["metadata"]["name"],
        "ContainerName": "main",
        "Opts": {},
    }
    return call("GET", "/getLogs", asked, token=token).text
