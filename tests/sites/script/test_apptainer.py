"""How Apptainer is called: a stand-in on the PATH records its arguments and environment.

Observed with the real Apptainer 1.4: a shell evaluates variables with its prefix unless --no-eval is given, and one
name that no shell can export makes it drop all of them. Such names therefore travel without the prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sites.script import Runtime, RuntimeKind
from sites.workload import Container, File, Mount, Volume
from tests.sites.attempts import Attempt, new_attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_IN = "#!/bin/sh\ncat /proc/$$/environ; printf '\\n=between=\\n'; cat /proc/$$/cmdline; exit 7\n"


@pytest.fixture
def attempt() -> Iterator[Attempt]:
    with new_attempt() as made:
        (made.base / "images").mkdir()
        (made.base / "images" / "busybox+1.36.sif").touch()
        program = made.base / "apptainer"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        yield made


def run(attempt: Attempt, container: Container, *volumes: Volume, **env: str) -> tuple[dict[str, str], list[str]]:
    """Return the environment and the arguments that the program was called with."""
    runtime = Runtime(RuntimeKind.APPTAINER, path=str(attempt.base / "apptainer"), images=str(attempt.base / "images"))
    assert attempt.stage(container, volumes=volumes, runtime=runtime).run(**env) == 7, attempt.read("main.log")
    environment, arguments = attempt.read("main.log").split(b"\n=between=\n")
    pairs = (pair.split("=", 1) for pair in environment.decode().split("\0")[:-1])
    # The first two are the stand-in's own shell and path.
    return dict(pairs), arguments.decode().split("\0")[2:-1]


def test_a_command_replaces_the_entrypoint_of_the_sites_image(attempt: Attempt) -> None:
    _, arguments = run(attempt, Container("main", "busybox:1.36", ("echo",), ("a b", "$(id)"), working_dir="/w d"))
    assert arguments[:6] == ["--silent", "exec", "--contain", "--pid", "--ipc", "--no-eval"]
    assert arguments[6:] == [
        *("--workdir", f"{attempt.folder}/scratch/0/main/work", "--pwd", "/w d"),
        *(f"{attempt.base}/images/busybox+1.36.sif", "echo", "a b", "$(id)"),
    ]


def test_without_a_command_the_image_runs_its_own(attempt: Attempt) -> None:
    _, arguments = run(attempt, Container("main", "busybox:1.36", args=("--steps", "3")))
    assert arguments[1] == "run"
    assert arguments[-3:] == [f"{attempt.base}/images/busybox+1.36.sif", "--steps", "3"]


@pytest.mark.parametrize(
    ("image", "place"),
    [
        ("ghcr.io/example/solver:2", "docker://ghcr.io/example/solver:2"),
        ("oras://ghcr.io/example/solver:2", "oras://ghcr.io/example/solver:2"),
        ("/usr", "/usr"),
    ],
)
def test_other_images_are_fetched_or_used_as_given(attempt: Attempt, image: str, place: str) -> None:
    assert run(attempt, Container("main", image, ("true",)))[1][-2:] == [place, "true"]


@pytest.mark.parametrize(
    ("image", "word"),
    [
        ("solver.sif", "ImageMissing"),
        ("/no/such.sif", "ImageMissing"),
        ("/", "ImageNotAllowed"),
        ("/tmp/..", "ImageNotAllowed"),
    ],
)
def test_an_image_that_is_missing_or_would_show_the_home_is_refused(attempt: Attempt, image: str, word: str) -> None:
    runtime = Runtime(RuntimeKind.APPTAINER, path=str(attempt.base / "apptainer"), images=str(attempt.base / "images"))
    assert attempt.stage(Container("main", image, ("true",)), runtime=runtime).run() == 125
    assert attempt.read("main.reason").startswith(f"{word} ".encode())


def test_variables_get_the_programs_prefix_if_a_shell_could_export_them(attempt: Attempt) -> None:
    variables = (("A", "$(id)\n'"), ("LD_PRELOAD", "/x.so"), ("PATH", "/p"), ("app.ini", "[x]"), ("1", "2"))
    environment, arguments = run(attempt, Container("main", "busybox:1.36", ("true",), env=variables), SLURM_JOB_ID="9")
    assert environment == {
        "PATH": "/usr/bin:/bin",
        "HOME": str(attempt.base),
        "APPTAINERENV_A": "$(id)\n'",
        "APPTAINERENV_LD_PRELOAD": "/x.so",
        "APPTAINERENV_PATH": "/p",
        "app.ini": "[x]",
        "1": "2",
    }
    assert not any("id)" in argument or "[x]" in argument for argument in arguments)


def test_only_the_sites_settings_for_the_program_stay_in_the_environment(attempt: Attempt) -> None:
    site = {"APPTAINER_CACHEDIR": "/big disk", "APPTAINERENV_LEAK": "x", "SINGULARITY_CACHEDIR": "x", "OTHER": "x"}
    environment, _ = run(attempt, Container("main", "busybox:1.36", ("true",)), **site)
    assert environment == {"PATH": "/usr/bin:/bin", "HOME": str(attempt.base), "APPTAINER_CACHEDIR": "/big disk"}


def test_volumes_are_mounted_by_quoted_fields(attempt: Attempt) -> None:
    mounts = (
        Mount("files", '/a,b"c', 'say "hi"', read_only=True),
        Mount("work", "/work"),
        Mount("work", "/part", "new"),
    )
    volumes = (Volume("files", (File('say "hi"', b""),)), Volume("work", writable=True))
    _, arguments = run(attempt, Container("main", "busybox:1.36", ("true",), mounts=mounts), *volumes)
    at_site = f"{attempt.folder}/volumes"
    assert [arguments[index + 1] for index, argument in enumerate(arguments) if argument == "--mount"] == [
        f'type=bind,"source={at_site}/files/say ""hi""","destination=/a,b""c",ro',
        f'type=bind,"source={at_site}/work/new","destination=/part"',
        f'type=bind,"source={at_site}/work","destination=/work"',
    ]
