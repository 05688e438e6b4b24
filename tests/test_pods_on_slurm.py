"""The pods that a real virtual kubelet sent, on a real Slurm: over the wire, through every process, in containers."""

from __future__ import annotations

import copy
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import requests

from tests.backends.fixtures import slurm_backend, ssh_backend
from tests.kills.stack import Stack
from tests.kubelet import Kubelet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.backends.control import Backends

__all__ = ["slurm_backend", "ssh_backend"]

RECORDED = Path(__file__).parent / "data" / "kubelet-traffic.jsonl"


@pytest.fixture(scope="module")
def stack(ssh_backend: Backends) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="isthmus-slurm-") as name:
        for variable in [each for each in os.environ if each.startswith(("DATABASE_", "REDIS_"))]:
            patch.delenv(variable)  # those of the whole test run
        Path(name).chmod(0o711)
        with Stack(Path(name), {}) as stack:
            stack.manage("manage.py", "prepare_database", "-v", "0")
            yield stack


@pytest.fixture(scope="module")
def kubelet(stack: Stack, ssh_backend: Backends) -> Iterator[Kubelet]:
    """A kubelet whose node sends to the real Slurm, where charliecloud runs the containers."""
    ssh = {"host": ssh_backend.ssh_host, "port": ssh_backend.ssh_port, "user": ssh_backend.user}
    config = {
        "ssh": ssh | {"host_key": ssh_backend.known_hosts.read_text()},
        "base": ".isthmus-story/jobs",
        "env": {"SLURM_CONF": ssh_backend.slurm_conf},
        "runtime": {"kind": "charliecloud", "images": str(ssh_backend.images)},
    }
    secret = ssh_backend.key.read_text()
    node = stack.seed({"kind": "slurm", "config": config, "secret": secret, "poll_interval": 1})
    for process in ("web", "worker", "beat"):
        stack.start(process)
    stack.wait_until_up()
    kubelet = Kubelet(f"{stack.url}/vk/{node['slug']}", node["token"], poll_interval=0.5)
    kubelet.run()
    yield kubelet
    kubelet.stop()


def test_recorded_pods_run_and_report_back(kubelet: Kubelet, stack: Stack) -> None:
    sent = {body["pod"]["metadata"]["name"]: body for body in recorded()}

    # One pod has an init container, a ConfigMap, a Secret, an emptyDir and two containers; another fails on purpose.
    train, fails, hello = (create(kubelet, sent[name]) for name in ("train", "fails-with-3", "hello"))
    followed = kubelet.follow(train, "watcher")

    # Each ends as its script says.
    assert kubelet.wait(train).phase == "Succeeded", kubelet.pods[train].body["status"]
    assert kubelet.wait(hello).phase == "Succeeded"
    failed = kubelet.wait(fails).body["status"]["containerStatuses"][0]["state"]["terminated"]
    assert failed["exitCode"] == 3

    # The init container copied the ConfigMap's file; the Secret arrived exactly, as a file and as a variable.
    log = kubelet.logs(train, "trainer").decode()
    assert "steps = 3" in log
    assert "NAME=a value with spaces, 'quotes', \"double\" and $VARS POD=train" in log
    assert "TOKEN=s3cr3t with spaces and 'quotes'" in log
    assert kubelet.logs(train, "fetch") == b"fetched\n"
    assert b"".join(followed) == b"watched\n"
    assert kubelet.logs(fails, "main") == b"about to fail\n"

    # Each pod has a usage record with Slurm's own figures.
    with psycopg.connect(stack.database_url) as database:
        rows = database.execute("SELECT pod, cpus FROM jobs_usagerecord WHERE NOT estimated").fetchall()
        kept = database.execute("SELECT count(*) FROM jobs_job WHERE request IS NOT NULL").fetchone()
    assert dict(rows) == {"research/train": 2, "research/fails-with-3": 1, "research/hello": 1}
    assert kept == (0,), "ConfigMaps and Secrets are erased at the pods' end"
    assert all(not pod.complaints for pod in kubelet.pods.values())

    # The metrics are the sum over all web processes.
    page = requests.get(f"{stack.url}/metrics", timeout=10).text
    assert 'isthmus_requests_total{method="POST",route="vk/<slug:slug>/create",status="200"} 3.0' in page


def test_a_pod_deleted_while_it_runs_is_gone_from_slurm(kubelet: Kubelet, stack: Stack) -> None:
    body = next(body for body in recorded() if body["pod"]["metadata"]["name"] == "deleted-early")
    uid = create(kubelet, body)
    kubelet.wait(uid, "Running")
    assert kubelet.delete(uid) == 200
    deadline = time.monotonic() + 30
    state = ""
    while state != "cancelled" and time.monotonic() < deadline:
        time.sleep(0.2)
        with psycopg.connect(stack.database_url) as database:
            row = database.execute("SELECT state FROM jobs_job WHERE pod_uid = %s", [uid]).fetchone()
        state = row[0] if row else ""
    assert state == "cancelled"


def create(kubelet: Kubelet, body: dict[str, Any]) -> str:
    """Send a recorded create with its long sleeps shortened. Return the pod's UID."""
    body = json.loads(json.dumps(copy.deepcopy(body)).replace("sleep 60", "sleep 2").replace("sleep 15", "sleep 1"))
    objects = {
        "configmaps": body["configmaps"],
        "secrets": body["secrets"],
        "projected": body["projectedvolumesmaps"],
    }
    return kubelet.create(body["pod"], **objects).uid


def recorded() -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    creates = [line["body"] for line in lines if line["path"] == "/create"]
    return [json.loads(body) if isinstance(body, str) else body for body in creates]
