"""What a container sees of its pod and of the node, in a real ch-run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sites.script import Runtime, RuntimeKind
from sites.workload import Container, File, Mount, Volume
from tests.sites.attempts import IMAGE, Attempt, new_attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.sites.images"]

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def attempt() -> Iterator[Attempt]:
    with new_attempt() as made:
        yield made


def shell(name: str, program: str, *mounts: Mount, cwd: str = "", image: str = IMAGE) -> Container:
    return Container(name, image, ("sh", "-c", program), (), (), cwd, mounts)


def test_a_service_account_token_is_where_programs_look_for_it(attempt: Attempt, charliecloud: Runtime) -> None:
    """In the image, /var/run is a symlink, and the rest of the path does not exist."""
    token = Volume("token", (File("token", b"placeholder"),))
    container = shell("main", f"cat {SERVICE_ACCOUNT}/token", Mount("token", SERVICE_ACCOUNT, read_only=True))
    assert attempt.stage(container, volumes=[token], runtime=charliecloud).run() == 0
    assert attempt.read("main.log") == b"placeholder"


def test_only_writable_places_can_be_written(attempt: Attempt, charliecloud: Runtime) -> None:
    container = shell(
        "main",
        "for place in /work /etc /config /locked /data /tmp; do touch $place/new 2> /dev/null && echo $place; done",
        Mount("files", "/config"),
        Mount("work", "/locked", read_only=True),
        Mount("work", "/data"),
    )
    volumes = [Volume("files", (File("a", b""),)), Volume("work", writable=True)]
    attempt.stage(container, volumes=volumes, runtime=charliecloud).run()
    assert attempt.read("main.log") == b"/data\n/tmp\n"


def test_an_image_stays_unchanged_even_if_the_account_owns_it(attempt: Attempt, charliecloud: Runtime) -> None:
    image = attempt.base / "images" / "own"
    for folder in ("bin", "etc/app"):
        (image / folder).mkdir(parents=True)
    (image / "bin" / "sh").write_bytes(Path("/bin/busybox").read_bytes())
    (image / "bin" / "sh").chmod(0o755)
    container = shell(
        "main", "echo x > /etc/app/file; echo x > /etc/new; echo x > /new", Mount("work", "/etc/other"), image="own"
    )
    runtime = Runtime(RuntimeKind.CHARLIECLOUD, images=str(image.parent))
    attempt.stage(container, volumes=[Volume("work", writable=True)], runtime=runtime)
    assert attempt.run() != 0
    assert attempt.read("main.log").count(b"Read-only file system") == 3


def test_neither_homes_nor_the_nodes_tmp_nor_other_attempts_are_mounted(
    attempt: Attempt, charliecloud: Runtime
) -> None:
    container = shell("main", f"ls -a /tmp /home; ls {attempt.base}; cat {attempt.folder}/containers/main/env")
    attempt.stage(container, runtime=charliecloud)
    (attempt.base / "private").touch()
    assert attempt.run() != 0
    seen = attempt.read("main.log").decode()
    assert seen.count("No such file or directory") == 2
    assert attempt.base.name not in seen.replace(f"{attempt.base}: No such", "").replace(
        f"{attempt.folder}/containers", ""
    )


def test_mounts_may_lie_inside_each_other_and_pick_parts_of_a_volume(attempt: Attempt, charliecloud: Runtime) -> None:
    container = shell(
        "main",
        "cat /etc/app.ini /data/inner/app.ini; ls /etc/passwd /data; echo kept > /data/part/file; ls -d /dev/shm/mine",
        Mount("files", "/data/inner", read_only=True),
        Mount("files", "/etc/app.ini", "app.ini", read_only=True),
        Mount("work", "/data"),
        Mount("work", "/data/part", "made/on/demand"),
        Mount("memory", "/dev/shm"),
    )
    volumes = [
        Volume("files", (File("app.ini", b"x\n"),)),
        Volume("work", writable=True),
        Volume("memory", (File("mine", b""),)),
    ]
    assert attempt.stage(container, volumes=volumes, runtime=charliecloud).run() == 0, attempt.read("main.log")
    assert attempt.read("main.log") == b"x\nx\n/etc/passwd\n\n/data:\ninner\nmade\npart\n/dev/shm/mine\n"
    assert (attempt.folder / "volumes/work/made/on/demand/file").read_text() == "kept\n"


def test_a_symlink_in_a_volume_leads_nowhere_else(attempt: Attempt, charliecloud: Runtime) -> None:
    secret = attempt.base / "private"
    secret.mkdir()
    (secret / "key").write_text("do not read")
    plant = shell("plant", f"ln -s {secret} /data/link; ln -s ../../../../private /data/up", Mount("work", "/data"))
    look = shell(
        "look",
        "cat /a/key /b/key; ls -R /data",
        Mount("work", "/a", "link"),
        Mount("work", "/b", "up"),
        Mount("work", "/data"),
    )
    attempt.stage(look, init=[plant], volumes=[Volume("work", writable=True)], runtime=charliecloud).run()
    assert b"do not read" not in attempt.read("look.log")
    assert attempt.exit_code("plant") == 0
    assert sorted(path.name for path in secret.iterdir()) == ["key"]


def test_containers_share_an_empty_directory_and_run_as_the_account(attempt: Attempt, charliecloud: Runtime) -> None:
    work = Mount("work", "/work")
    writer = shell("writer", "echo from init > note; id -u > id", work, cwd="/work")
    reader = shell("reader", "cat note id; stat -c %u note", work, cwd="/work")
    assert (
        attempt.stage(reader, init=[writer], volumes=[Volume("work", writable=True)], runtime=charliecloud).run() == 0
    )
    account = attempt.folder.stat().st_uid
    assert attempt.read("reader.log").decode() == f"from init\n{account}\n{account}\n"


@pytest.mark.parametrize(
    ("container", "code", "word"),
    [
        (shell("main", "true", image="not/there:1"), 125, "ImageMissing"),
        (shell("main", "true", image=".."), 125, "ImageMissing"),
        (shell("main", "true", cwd="/no/such"), 128, "WorkingDirMissing"),
        (Container("main", IMAGE, args=("x",)), 127, "CommandMissing"),
        (shell("main", "true", Mount("files", "/bin/busybox/below")), 125, "MountFailed"),
    ],
)
def test_a_container_that_cannot_start_says_why(
    attempt: Attempt, charliecloud: Runtime, container: Container, code: int, word: str
) -> None:
    assert attempt.stage(container, volumes=[Volume("files", (File("a", b""),))], runtime=charliecloud).run() == code
    assert attempt.read("main.reason").startswith(f"{word} ".encode())


def test_term_and_exit_codes_pass_through_the_runtime(attempt: Attempt, charliecloud: Runtime) -> None:
    stop = 'trap "exit 6" TERM; echo up; sleep 30 & wait'
    attempt.stage(shell("tidy", stop), shell("short", "exit 11"), runtime=charliecloud)
    process = attempt.start()
    while not {"short.ended", "tidy.index"} <= (attempt.names() if (attempt.folder / "run/0").exists() else set()):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=10)
    assert (attempt.exit_code("tidy"), attempt.exit_code("short"), process.returncode) == (6, 11, 6)


def test_a_pods_library_path_and_path_apply_only_inside_its_container(attempt: Attempt, charliecloud: Runtime) -> None:
    env = (("LD_PRELOAD", "/volumes/evil.so"), ("PATH", "/nowhere:/bin"), ("TMPDIR", "/x"), ("USER", "somebody"))
    container = Container("main", IMAGE, ("sh", "-c", 'echo "$LD_PRELOAD $PATH $TMPDIR $USER"'), env=env)
    assert attempt.stage(container, runtime=charliecloud).run() == 0
    assert attempt.read("main.log") == b"/volumes/evil.so /nowhere:/bin /x somebody\n"
