"""How four typical pods are staged, in full and for people to read: tests/sites/script/golden/*.txt.

`REGENERATE_GOLDEN=1 pytest tests/sites/script/test_golden.py` writes the files anew; review the difference.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sites import policy
from sites.manifest import parse
from sites.script import Runtime, RuntimeKind, render
from tests.sites.bodies import body, config_map, container, secret

if TYPE_CHECKING:
    from sites.script import Staged

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = os.environ.get("REGENERATE_GOLDEN") == "1"

SLURM_HEADER = ("#SBATCH --job-name=isthmus-00ff", "#SBATCH --export=NONE", "#SBATCH --time=10")
TOKEN = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
WORK = {"name": "work", "mountPath": "/scratch"}

PODS = {
    "hello": (body({"command": ["echo"], "args": ["hello, world"]}), Runtime(RuntimeKind.HOST), ()),
    "train": (
        {
            **body(
                {
                    "env": [{"name": "app.ini", "value": "[run]\nsteps = 3\n"}, {"name": "N", "value": "3"}],
                    "args": ["$(N)"],
                },
                {"name": "watcher", "volumeMounts": [WORK]},
                initContainers=[container(name="fetch", volumeMounts=[WORK, TOKEN])],
                volumes=[{"name": "work", "emptyDir": {}}, {"name": "kube-api-access", "projected": {}}],
            ),
            "projectedvolumesmaps": [config_map("kube-api-access", {"token": "placeholder"})],
        },
        Runtime(RuntimeKind.CHARLIECLOUD, images="/srv/images"),
        SLURM_HEADER,
    ),
    "gpu": (
        {
            **body(
                {
                    "image": "ghcr.io/example/solver:2",
                    "command": None,
                    "args": ["--steps", "3"],
                    "workingDir": "/work dir",
                    "resources": {"limits": {"nvidia.com/gpu": "2"}},
                    "volumeMounts": [{"name": "keys", "mountPath": "/keys", "subPath": "id", "readOnly": True}],
                },
                volumes=[{"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}}],
            ),
            "secrets": [secret("keys", {"id": b"placeholder\0\xff"})],
        },
        Runtime(RuntimeKind.APPTAINER, path="/opt/apptainer/bin/apptainer", images="images"),
        SLURM_HEADER,
    ),
    "quotes": (
        body(
            {
                "command": ["sh", "-c"],
                "args": ["echo \"$HOME\" 'it''s'; exit 3"],
                "env": [{"name": "it's", "value": "$(x)"}],
            }
        ),
        Runtime(RuntimeKind.SINGULARITY, images="/site's images"),
        (),
    ),
}


@pytest.mark.parametrize("name", PODS)
def test_a_typical_pod_is_staged_like_its_golden_file(name: str) -> None:
    request, runtime, header = PODS[name]
    pod = parse(request)
    workload = pod.workload(policy.requested(pod), key="00ff", folder=".isthmus/jobs/00ff")
    shown = shown_for_people(render(workload, runtime, header))
    golden = GOLDEN / f"{name}.txt"
    if REGENERATE:
        golden.write_text(shown)
    assert shown == golden.read_text()


def shown_for_people(staged: Staged) -> str:
    """Return each file with its path and mode.

    Files that are the same for every pod appear by name only; NUL is shown as a line break.
    """
    sections = [f"=== {directory}/" for directory in staged.directories]
    sections += [f"=== {file.path} {file.mode:o}\n{readable(file.content)}" for file in staged.files]
    return "\n".join(sections) + "\n"


def readable(content: bytes) -> str:
    for template in sorted(files("sites.script").iterdir(), key=lambda each: each.name):
        if template.name.endswith((".sh", ".pl", ".py")):
            content = content.replace(template.read_bytes(), f"<sites/script/{template.name}>\n".encode())
    return content.decode(errors="backslashreplace").replace("\0", "␀\n")
