"""The body of a /create: what is kept of a pod, what is malformed, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import BadRequest, Refused
from sites import policy
from sites.manifest import PodRequest, parse
from sites.manifest.containers import expand
from sites.manifest.resources import PodResources
from sites.workload import File, Mount
from tests.sites.bodies import UID, body, container

TRAFFIC = Path(__file__).parents[2] / "data" / "kubelet-traffic.jsonl"


def recorded(name: str) -> PodRequest:
    """Return a pod as the real virtual kubelet sent it."""
    lines = [json.loads(line) for line in TRAFFIC.read_text().splitlines()]
    creates = [line["body"] for line in lines if line["path"] == "/create"]
    return parse(next(create for create in creates if create["pod"]["metadata"]["name"] == name))


def test_a_recorded_pod_is_parsed_completely() -> None:
    pod = recorded("train")
    assert (str(pod.uid), pod.namespace, pod.name) == (UID, "research", "train")
    assert [each.name for each in pod.init_containers] == ["fetch"]
    trainer, watcher = pod.containers
    assert dict(trainer.env)["app.ini"] == "[run]\nsteps = 3\n"
    assert trainer.working_dir == "/scratch"
    assert Mount("secrets", "/secrets", read_only=True) in trainer.mounts
    assert watcher.command == ("sh", "-c", "sleep 15; echo watched")
    assert {volume.name: volume.writable for volume in pod.volumes}["work"]
    assert (
        File("token", b"s3cr3t with spaces and 'quotes'", 0o400)
        in next(v for v in pod.volumes if v.name == "secrets").files
    )
    assert pod.resources == PodResources(cpus=2, memory=256 << 20)
    assert (pod.flags.partition, pod.flags.time_limit, pod.time_limit) == ("debug", 600, 600)


def test_every_recorded_pod_is_parsed() -> None:
    for line in TRAFFIC.read_text().splitlines():
        if (request := json.loads(line))["path"] == "/create":
            assert parse(request["body"]).name == request["body"]["pod"]["metadata"]["name"]


def test_a_workload_carries_what_the_pod_requested() -> None:
    pod = recorded("train")
    workload = pod.workload(policy.requested(pod), key="00ff", folder="jobs/00ff", account="alice")
    assert (workload.key, workload.folder, workload.account, workload.pod) == (
        "00ff",
        "jobs/00ff",
        "alice",
        "research/train",
    )
    assert (workload.containers, workload.volumes, workload.demand.time_limit) == (pod.containers, pod.volumes, 600)


def test_the_repr_of_a_pod_shows_no_secret() -> None:
    assert "s3cr3t" not in repr(recorded("train"))


def test_a_pod_whose_containers_are_all_kept_local_has_none() -> None:
    request = body()
    request["pod"]["spec"]["containers"] = None
    assert parse(request).containers == ()


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("pod", None, "the pod under"),
        ("pod", [], "the pod under"),
        ("pod.metadata", "x", "pod.metadata must be an object"),
        ("pod.metadata.uid", "42", "must be a UUID"),
        ("pod.metadata.uid", None, "must be a UUID"),
        ("pod.metadata.uid", UID.replace("-", ""), "UUID with dashes"),
        ("pod.metadata.name", None, "pod.metadata.name must be"),
        ("pod.metadata.name", "a b", "pod.metadata.name must be"),
        ("pod.metadata.name", "a\n", "pod.metadata.name must be"),
        ("pod.metadata.namespace", "../x", "pod.metadata.namespace must be"),
        ("pod.metadata.annotations", [], "annotations must be an object"),
        ("pod.spec.containers", {}, "pod.spec.containers must be a list"),
        ("pod.spec.containers", [1], "pod.spec.containers[0] must be an object"),
        ("pod.spec.containers", [container(), container()], "two containers named main"),
        ("pod.spec.containers", [container(name="Not_A_Label")], "pod.spec.containers[0].name must be"),
        ("pod.spec.containers", [container(image="")], "image must name an image"),
        ("pod.spec.containers", [container(image="a\nb")], "image must name an image"),
        ("pod.spec.containers", [container(command="true")], "command must be a list"),
        ("pod.spec.containers", [container(args=[1])], "args[0] must be a string"),
        ("pod.spec.containers", [container(args=["a\0b"])], "args[0] holds a NUL"),
        ("pod.spec.containers", [container(args=["\ud800"])], "args[0] holds half a surrogate pair"),
        ("pod.spec.containers", [container(env=[{"name": ""}])], "env[0].name must be a name"),
        ("pod.spec.containers", [container(env=[{"name": "A=B"}])], "env[0].name must be a name"),
        ("pod.spec.containers", [container(env=[{"name": "A", "value": 1}])], "env[0].value must be a string"),
        ("pod.spec.containers", [container(workingDir="data")], "workingDir must be an absolute path"),
        ("pod.spec.containers", [container(volumeMounts=[{"name": "v", "mountPath": "/"}])], "mountPath must be"),
        ("pod.spec.containers", [container(volumeMounts=[{"name": "v", "mountPath": "/a/../b"}])], "mountPath must be"),
        (
            "pod.spec.containers",
            [container(volumeMounts=[{"name": "v", "mountPath": "/a"}])],
            "mounts the volume v, which",
        ),
        ("pod.spec.containers", [container(resources={"limits": {"cpu": "many"}})], "cpu is not a quantity"),
        ("pod.spec.containers", [container(resources={"limits": {"cpu": "-1"}})], "cpu is not a quantity"),
        ("pod.spec.activeDeadlineSeconds", 0, "activeDeadlineSeconds must be"),
        ("pod.spec.activeDeadlineSeconds", "60", "activeDeadlineSeconds must be"),
        ("configmaps", {}, "configmaps must be a list"),
    ],
)
def test_a_malformed_body_is_a_bad_request_that_names_the_place(path: str, value: object, sentence: str) -> None:
    request = body()
    *parents, last = path.split(".")
    place = request
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(BadRequest) as error:
        parse(request)
    assert sentence in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize("request_body", [None, [], "pod", 1])
def test_a_body_that_is_not_an_object_is_a_bad_request(request_body: Any) -> None:
    with pytest.raises(BadRequest):
        parse(request_body)


@pytest.mark.parametrize(
    ("fields", "culprit"),
    [
        ({"lifecycle": {"preStop": {"exec": {}}}}, "lifecycle"),
        ({"securityContext": {"privileged": True}}, "privileged"),
        ({"volumeDevices": [{"name": "d"}]}, "volumeDevices"),
        ({"restartPolicy": "Always"}, "restartPolicy"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}]}, "variable A"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)"}]}, "subPathExpr"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v\r\n"}]}, "control character"),
        ({"resources": {"limits": {"example.com/fpga": "1"}}}, "example.com/fpga"),
        ({"resources": {"limits": {"nvidia.com/gpu": "1", "amd.com/gpu": "1"}}}, "amd.com/gpu, nvidia.com/gpu"),
        ({"resources": {"limits": {"memory": "9999999E"}}}, "memory"),
    ],
)
def test_unsupported_container_fields_are_refused_by_name(fields: dict[str, Any], culprit: str) -> None:
    with pytest.raises(Refused) as error:
        parse(body(fields))
    assert culprit in error.value.message


@pytest.mark.parametrize("field", ["hostPID", "hostIPC", "shareProcessNamespace"])
def test_unsupported_pod_fields_are_refused_by_name(field: str) -> None:
    with pytest.raises(Refused, match=field):
        parse(body(annotations=None, **{field: True}))
    assert parse(body(annotations=None, **{field: False})).name == "a-pod"


def test_fields_that_do_not_affect_a_run_are_ignored() -> None:
    probes = {"livenessProbe": {"exec": {"command": ["x"]}}, "ports": [{"containerPort": 80}], "tty": True}
    security = {"securityContext": {"runAsUser": 0, "privileged": False}, "terminationMessagePath": "/dev/x"}
    pod = parse(body({**probes, **security}, tolerations=[{}], affinity={}, hostNetwork=True, restartPolicy="Never"))
    assert pod.containers == parse(body()).containers


@pytest.mark.parametrize(
    "name",
    [
        *(f"slurm-job.vk.io/{name}" for name in ("pre-exec", "mpi-flags", "image-root", "singularity-mounts")),
        *(
            f"slurm-job.vk.io/{name}"
            for name in ("singularity-options", "enroot-mounts", "enroot-options", "anything-else")
        ),
        "interlink.eu/wstunnel-client-commands",
    ],
)
def test_an_annotation_that_would_change_the_run_is_refused_by_name(name: str) -> None:
    with pytest.raises(Refused, match=name):
        parse(body(annotations={name: "x"}))
    assert parse(body(annotations={name: ""})).flags == parse(body()).flags


def test_other_annotations_are_ignored() -> None:
    names = ("interlink.eu/pod-ip", "interlink.eu/disable-offload-containers", "JobID", "example.org/pre-exec")
    assert parse(body(annotations=dict.fromkeys(names, "x"))).flags == parse(body()).flags


def test_a_custom_job_script_is_refused() -> None:
    with pytest.raises(Refused, match="jobscriptURL"):
        parse({**body(), "jobscriptURL": "https://example.org/run.sh"})


@pytest.mark.parametrize(
    ("deadline", "flags", "limit"),
    [(None, "", None), (60, "", 60), (None, "--time=2", 120), (60, "--time=2", 60), (600, "--time=2", 120)],
)
def test_the_smaller_time_limit_counts(deadline: int | None, flags: str, limit: int | None) -> None:
    annotations = {"slurm-job.vk.io/flags": flags}
    assert parse(body(annotations=annotations, activeDeadlineSeconds=deadline)).time_limit == limit


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(C)", "$(C)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(app.ini)", "3"),
        ("$()", "$()"),
    ],
)
def test_arguments_are_expanded_as_in_kubernetes(word: str, expanded: str) -> None:
    assert expand(word, {"A": "1", "B": "2", "app.ini": "3"}) == expanded


def test_if_a_variable_is_given_twice_the_last_value_counts() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]
    (main,) = parse(body({"env": env, "args": ["$(A)"]})).containers
    assert (main.env, main.args) == ((("A", "2"), ("B", "")), ("2",))
