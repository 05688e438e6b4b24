"""Volumes: exact bytes, paths and modes of submitted objects; a missing object is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.errors import Refused
from sites.manifest import parse
from sites.workload import File, Mount, Volume
from tests.sites.bodies import body, config_map, mounting, secret


def files_of(request: dict[str, Any]) -> dict[str, bytes]:
    (volume,) = parse(request).volumes
    return {file.path: file.content for file in volume.files}


def test_a_config_map_arrives_as_files_text_and_binary() -> None:
    objects = [config_map("settings", {"a": "ü\0\n"}, {"b": bytes(range(256))})]
    request = mounting({"name": "v", "configMap": {"name": "settings", "defaultMode": 0o440}}, configmaps=objects * 2)
    assert parse(request).volumes == (
        Volume("v", (File("a", "ü\0\n".encode(), 0o440), File("b", bytes(range(256)), 0o440))),
    )


def test_a_secret_arrives_decoded() -> None:
    request = mounting({"name": "v", "secret": {"secretName": "s"}}, secrets=[secret("s", {"key": b"\xff\0"})])
    assert files_of(request) == {"key": b"\xff\0"}


def test_string_data_of_a_secret_is_used_unchanged() -> None:
    objects = [{"metadata": {"name": "s"}, "stringData": {"a": "plain"}}]
    assert files_of(mounting({"name": "v", "secret": {"secretName": "s"}}, secrets=objects)) == {"a": b"plain"}


@pytest.mark.parametrize("value", ["not base64!", "YQ", "YQ=a", "ü"])
def test_a_secret_that_is_not_base64_is_refused_by_name_without_its_value(value: str) -> None:
    objects = [{"metadata": {"name": "credentials"}, "data": {"token": value}}]
    with pytest.raises(Refused) as error:
        parse(mounting({"name": "v", "secret": {"secretName": "credentials"}}, secrets=objects))
    assert error.value.message == "The key token of the Secret credentials is not base64; encode its value."


def test_items_pick_keys_and_give_paths_and_modes() -> None:
    items = [{"key": "a", "path": "deep/down/a", "mode": 0o400}, {"key": "b", "path": "b"}]
    source = {"name": "c", "items": items, "defaultMode": 0o600}
    request = mounting({"name": "v", "configMap": source}, configmaps=[config_map("c", {"a": "1", "b": "2", "c": "3"})])
    assert parse(request).volumes[0].files == (File("deep/down/a", b"1", 0o400), File("b", b"2", 0o600))


def test_projected_content_is_found_by_the_name_of_its_volume() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"items": [{"path": "ca.crt", "mode": 0o444}]}},
    ]
    volume = {"name": "kube-api-access", "projected": {"sources": sources, "defaultMode": 0o640}}
    request = mounting(volume, projectedvolumesmaps=[config_map("kube-api-access", {"token": "t", "ca.crt": "c"})])
    assert parse(request).volumes[0].files == (File("token", b"t", 0o640), File("ca.crt", b"c", 0o444))


def test_a_downward_api_volume_has_the_pods_metadata() -> None:
    paths = {"name": "metadata.name", "labels": "metadata.labels", "one": "metadata.annotations['note']"}
    items = [{"path": path, "fieldRef": {"fieldPath": field}} for path, field in paths.items()]
    request = mounting({"name": "v", "downwardAPI": {"items": items}})
    request["pod"]["metadata"] |= {"labels": {"b": 'say "hi"', "a": "x"}, "annotations": {"note": "free text"}}
    assert files_of(request) == {"name": b"a-pod", "labels": b'a="x"\nb="say \\"hi\\""\n', "one": b"free text"}


def test_an_empty_directory_is_writable_and_empty() -> None:
    assert parse(mounting({"name": "v", "emptyDir": {"medium": "Memory"}})).volumes == (Volume("v", writable=True),)


@pytest.mark.parametrize(
    ("volume", "culprit"),
    [
        *(
            ({"name": "v", kind: {}}, f"v is of kind {kind}")
            for kind in ("hostPath", "persistentVolumeClaim", "nfs", "csi", "ephemeral")
        ),
        ({"name": "v", "configMap": {"name": "missing"}}, "ConfigMap missing"),
        ({"name": "v", "secret": {"secretName": "missing"}}, "Secret missing"),
        ({"name": "v", "projected": {"sources": []}}, "projected volume v"),
        ({"name": "v", "configMap": {"name": "c", "items": [{"key": "x", "path": "x"}]}}, "no key x"),
        ({"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "../x"}]}}, "path of volume v"),
        ({"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "/x"}]}}, "path of volume v"),
        (
            {
                "name": "v",
                "configMap": {"name": "c", "items": [{"key": "a", "path": "x"}, {"key": "a", "path": "x/y"}]},
            },
            "x both as",
        ),
        ({"name": "v", "downwardAPI": {"items": [{"path": "x", "resourceFieldRef": {}}]}}, "file x of volume v"),
        (
            {"name": "v", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "status.podIP"}}]}},
            "status.podIP",
        ),
    ],
)
def test_an_unsupported_volume_is_refused_by_name_only_if_it_is_mounted(volume: dict[str, Any], culprit: str) -> None:
    objects = {"configmaps": [config_map("c", {"a": "1"})]}
    with pytest.raises(Refused) as error:
        parse(mounting(volume, **objects))
    assert culprit in error.value.message
    assert parse({**body(volumes=[volume]), **objects}).volumes == ()


def test_optional_objects_may_be_missing() -> None:
    items = [{"key": "a", "path": "a"}, {"key": "x", "path": "x"}]
    request = mounting(
        {"name": "none", "secret": {"secretName": "missing", "optional": True}},
        {"name": "some", "configMap": {"name": "c", "items": items, "optional": True}},
        configmaps=[config_map("c", {"a": "1"})],
    )
    assert parse(request).volumes == (Volume("none"), Volume("some", (File("a", b"1"),)))


def test_mounts_are_kept_with_their_paths_cleaned() -> None:
    mounts: list[dict[str, Any]] = [
        {"name": "v", "mountPath": "/data//x/", "subPath": "./a/b/", "readOnly": True, "mountPropagation": "None"},
        {"name": "v", "mountPath": "/other", "subPath": "./"},
    ]
    (main,) = parse(mounting({"name": "v", "emptyDir": {}}, mounts=mounts)).containers
    assert main.mounts == (Mount("v", "/data/x", "a/b", read_only=True), Mount("v", "/other"))
