"""A pod that is sent without a cluster: we resolve what its kubelet would have resolved, by the kubelet's rules."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.errors import BadRequest, IsthmusError, Refused, TooLarge
from sites import manifest
from sites.manifest.documents import LARGEST_YAML
from tests.sites.bodies import config_map, secret

UID = "65874472-987d-45c2-ba85-74dd068d2b89"


def a_pod(*, spec: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **container: Any) -> Any:
    main = {"name": "main", "image": "busybox:1.36", "command": ["true"], **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", **(metadata or {})},
        "spec": {"containers": [main], **(spec or {})},
    }


def a_config_map(name: str, data: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", **config_map(name, data, **more)}


def a_secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", **secret(name, data)}


def variables(*documents: Any) -> dict[str, str]:
    """Return the variables of the pod's container after everything is resolved."""
    return dict(manifest.parse(manifest.create_body(documents, namespace="climate")).containers[0].env)


def refused(*documents: Any) -> str:
    with pytest.raises(IsthmusError) as caught:
        manifest.parse(manifest.create_body(documents, namespace="climate"))
    return caught.value.message


def test_a_pod_gets_a_new_uid_and_a_missing_namespace() -> None:
    pod = manifest.parse(manifest.create_body([a_pod(metadata={"uid": UID})], namespace="climate"))
    assert (pod.name, pod.namespace) == ("train", "climate")
    assert str(pod.uid) != UID


def test_a_generated_name_differs_each_time() -> None:
    unnamed = a_pod(metadata={"name": None, "generateName": "train-"})
    names = {manifest.parse(manifest.create_body([unnamed], namespace="climate")).name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("train-") and len(name) == len("train-") + 5 for name in names)


def test_variables_take_their_values_from_the_submitted_objects() -> None:
    pod = a_pod(
        metadata={"namespace": "climate", "labels": {"run": "7"}},
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "S_"}],
        env=[
            {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
            {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "RUN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['run']"}}},
            {"name": "LINE", "value": "$(S_level) $(PASSWORD) $$(RUN) $(UNKNOWN)"},
            {"name": "S_speed", "value": "slow"},
        ],
    )
    along = a_config_map("settings", {"level": "high", "speed": "fast"}), a_secret("login", {"password": b"hush"})
    assert variables(pod, *along) == {
        "S_level": "high",
        "S_speed": "slow",
        "LEVEL": "high",
        "PASSWORD": "hush",
        "WHERE": "climate",
        "RUN": "7",
        "LINE": "high hush $(RUN) $(UNKNOWN)",
    }


def test_optional_references_may_be_missing() -> None:
    pod = a_pod(
        envFrom=[{"secretRef": {"name": "none", "optional": True}}],
        env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "a", "optional": True}}}],
    )
    assert variables(pod) == {}


@pytest.mark.parametrize(
    ("container", "named"),
    [
        ({"envFrom": [{"configMapRef": {"name": "gone"}}]}, "containers[0].envFrom[0] needs the ConfigMap gone"),
        ({"envFrom": [{}]}, "must have a configMapRef or a secretRef"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "a"}}}]},
            "needs the Secret gone",
        ),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "b"}}}]}, "has no key b"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "bytes"}}}]}, "is not text"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}, "status.podIP"),
        ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}]}, "resourceFieldRef"),
        ({"env": [{"value": "x"}]}, "pod.spec.containers[0].env[0].name must be a name"),
        ({"env": "A=1"}, "pod.spec.containers[0].env must be a list"),
    ],
)
def test_a_missing_reference_is_refused_by_name(container: dict[str, Any], named: str) -> None:
    assert named in refused(a_pod(**container), a_secret("login", {"a": b"1", "bytes": b"\xff"}))


def test_init_containers_get_their_variables_too() -> None:
    init = {
        "name": "first",
        "image": "busybox",
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none"}}}],
    }
    assert "needs the Secret none" in refused(a_pod(spec={"initContainers": [init]}))


def test_a_projected_volume_gets_the_files_of_its_sources() -> None:
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "level", "path": "conf/level"}]}},
        {"secret": {"name": "login"}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    volumes = [{"name": "all", "projected": {"sources": sources}}]
    pod = a_pod(spec={"volumes": volumes}, volumeMounts=[{"name": "all", "mountPath": "/all"}])
    along = a_config_map("settings", {"level": "high", "speed": "fast"}), a_secret("login", {"password": b"\xff"})
    [volume] = manifest.parse(manifest.create_body([pod, *along], namespace="climate")).volumes
    assert {file.path: file.content for file in volume.files} == {
        "conf/level": b"high",
        "password": b"\xff",
        "name": b"train",
    }


def test_a_service_account_token_cannot_be_mounted_without_a_cluster() -> None:
    volumes = [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    mounted = a_pod(spec={"volumes": volumes}, volumeMounts=[{"name": "token", "mountPath": "/token"}])
    assert "projects a serviceAccountToken" in refused(mounted)
    assert manifest.create_body([a_pod(spec={"volumes": volumes})], namespace="climate")["projectedvolumesmaps"] == []


def test_a_list_holds_a_pod_and_its_objects() -> None:
    pod = a_pod(envFrom=[{"configMapRef": {"name": "settings"}}])
    items = {"apiVersion": "v1", "kind": "List", "items": [a_config_map("settings", {"A": "1"}), pod]}
    assert variables(items) == {"A": "1"}


@pytest.mark.parametrize(
    ("documents", "named"),
    [
        ([], "there are 0 objects"),
        ([a_pod(), a_pod()], "there are 2 objects"),
        ([a_secret("login", {})], "there are 0 objects"),
        ([["a"]], "The body must be an object"),
        ([{"spec": {}}], "must be a manifest with `apiVersion: v1` and `kind: Pod`"),
        ([a_pod(), {"apiVersion": "apps/v1", "kind": "Deployment"}], "document 2 is a Deployment of apps/v1"),
        ([{"kind": "List", "items": [a_pod(), {"kind": "Service"}]}], "items[1] is a Service"),
        ([{**a_pod(), "apiVersion": "v2"}], "The body is a Pod of v2"),
        ([{"kind": "Pod", "metadata": {"name": "a"}}], "pod.spec.containers must have a container"),
        ([{"kind": "Pod", "metadata": 7}], "pod.metadata must be an object"),
        ([a_pod(), {"kind": "Secret", "metadata": {"name": "a", "namespace": "b"}}], "is in the namespace b"),
    ],
)
def test_anything_but_one_pod_is_refused_with_its_place(documents: list[Any], named: str) -> None:
    assert named in refused(*documents)


def test_yaml_is_read_as_kubectl_reads_it() -> None:
    text = b"""
kind: Pod
date: 2026-11-25
time: 1:30
mode: 0644
half: 0.5
large: 1e3
equals: =
---
---
kind: ConfigMap
"""
    written = {"kind": "Pod", "date": "2026-11-25", "time": "1:30", "mode": 420, "half": 0.5, "large": "1e3"}
    written["equals"] = "="
    assert manifest.read_yaml(text) == [written, {"kind": "ConfigMap"}]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"a: &x [1]\nb: *x", "Anchors and aliases are not supported (line 1, column 4)"),
        (b"a: !!python/object/apply:os.system [ls]", "Tags such as"),
        (b"a: !!binary aGk=", "Tags such as"),
        (b"[" * 100_000, "nested deeper"),
        (b"---\na\n" * 1000, "more documents"),
        (b"a: [", "The body is not YAML"),
        (b"a: " + b"9" * 5000, "check its characters and numbers"),
        (b"a: 99999999999999999999", "Integer exceeds 64-bit range"),
        (b"1: a", "put keys into quotes"),
        (b"\xff\xfe\x00", "check its characters"),
    ],
)
def test_yaml_with_anchors_aliases_or_tags_is_refused(text: bytes, named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        manifest.read_yaml(text)
    assert named in caught.value.message


def test_yaml_has_its_own_size_limit() -> None:
    with pytest.raises(TooLarge, match="send a larger one as JSON"):
        manifest.read_yaml(b" " * (LARGEST_YAML + 1))


def test_invalid_json_is_refused_with_its_place() -> None:
    with pytest.raises(BadRequest, match="line 1, column 2"):
        manifest.read_json(b"{'a'}")


def test_a_missing_volume_is_refused_as_on_the_wire() -> None:
    volumes = [{"name": "conf", "configMap": {"name": "gone"}}]
    pod = a_pod(spec={"volumes": volumes}, volumeMounts=[{"name": "conf", "mountPath": "/conf"}])
    with pytest.raises(Refused, match="The volume conf needs the ConfigMap gone"):
        manifest.parse(manifest.create_body([pod], namespace="climate"))
