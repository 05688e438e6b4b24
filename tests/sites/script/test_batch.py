"""What the batch script does with a pod, seen from its files: order, exit codes, signals, requeues, logs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sites.script import Runtime, RuntimeKind, render
from sites.workload import Container, File, Volume, Workload
from tests.sites.attempts import KEY, Attempt, link_programs, new_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def attempt() -> Iterator[Attempt]:
    with new_attempt() as made:
        yield made


def shell(name: str, program: str, *args: str, env: tuple[tuple[str, str], ...] = (), cwd: str = "") -> Container:
    return Container(name, "unused", ("sh", "-c", program, "sh"), args, env, cwd)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is still false after the time limit"
        time.sleep(0.02)


def test_a_pod_that_succeeds_exits_zero_and_records_its_times(attempt: Attempt) -> None:
    before = int(time.time())
    assert attempt.stage(shell("main", "echo out; echo err >&2; printf 'no newline'")).run() == 0
    assert attempt.read("main.log") == b"out\nerr\nno newline"
    assert before <= attempt.started_at("main") <= attempt.ended_at("main") <= time.time()
    started, ended = attempt.started_at("main"), attempt.ended_at("main")
    assert attempt.events() == [f"{KEY}.0.main.ended.{ended}.0", f"{KEY}.0.main.started.{started}.-"]
    assert attempt.names() == {"main.log", "main.index", "main.looked", "main.started", "main.ended"}


def test_the_first_failing_container_in_order_gives_the_exit_code(attempt: Attempt) -> None:
    attempt.stage(shell("good", "exit 0"), shell("slow", "sleep 0.3; exit 5"), shell("fast", "exit 4"))
    assert attempt.run() == 5
    assert [attempt.exit_code(name) for name in ("good", "slow", "fast")] == [0, 5, 4]


def test_the_signal_that_killed_a_container_is_recorded(attempt: Attempt) -> None:
    assert attempt.stage(shell("main", "kill -SEGV $$")).run() == 128 + signal.SIGSEGV
    assert attempt.exit_code("main") == 128 + signal.SIGSEGV


def test_init_containers_run_one_after_the_other_before_the_rest(attempt: Attempt) -> None:
    step = (
        'echo "$1 begins" >> "$ISTHMUS_VOLUMES/work/order"; sleep 0.1; echo "$1 ends" >> "$ISTHMUS_VOLUMES/work/order"'
    )
    attempt.stage(
        shell("main", 'cat "$ISTHMUS_VOLUMES/work/order"'),
        init=[shell("first", step, "first"), shell("second", step, "second")],
        volumes=[Volume("work", writable=True)],
    )
    assert attempt.run() == 0
    assert attempt.read("main.log") == b"first begins\nfirst ends\nsecond begins\nsecond ends\n"


def test_a_failing_init_container_ends_the_job_and_the_rest_has_no_outcome(attempt: Attempt) -> None:
    attempt.stage(shell("main", "exit 0"), init=[shell("bad", "exit 9"), shell("never", "exit 0")])
    assert attempt.run() == 9
    assert {name.split(".")[0] for name in attempt.names()} == {"bad"}
    assert {event.split(".")[2] for event in attempt.events()} == {"bad"}


def test_containers_run_at_the_same_time_and_share_an_empty_directory(attempt: Attempt) -> None:
    meet = 'cd "$ISTHMUS_VOLUMES/work"; touch "$1"; until [ -e "$2" ]; do sleep 0.05; done'
    attempt.stage(
        shell("one", meet, "one", "two"), shell("two", meet, "two", "one"), volumes=[Volume("work", writable=True)]
    )
    assert attempt.run() == 0


def test_a_pod_without_containers_succeeds(attempt: Attempt) -> None:
    assert attempt.stage().run() == 0


def test_files_of_volumes_arrive_with_their_bytes_and_modes(attempt: Attempt) -> None:
    files = (File("a.bin", bytes(range(256)), 0o640), File("deep/b", b"", 0o400))
    attempt.stage(
        shell("main", 'cd "$ISTHMUS_VOLUMES/v"; cat a.bin deep/b; stat -c %a a.bin deep/b >&2'),
        volumes=[Volume("v", files)],
    )
    assert attempt.run() == 0
    assert attempt.read("main.log") == bytes(range(256)) + b"640\n400\n"


def test_output_arrives_byte_for_byte(attempt: Attempt) -> None:
    attempt.stage(shell("main", r"printf '\000\377\r\n\033[31m'; head -c 300000 /dev/zero"))
    assert attempt.run() == 0
    assert attempt.read("main.log") == b"\0\xff\r\n\x1b[31m" + bytes(300_000)


def test_the_index_dates_output_to_the_second(attempt: Attempt) -> None:
    attempt.stage(shell("main", "for i in 1 2 3 4 5; do date +%s; sleep 0.7; done"))
    assert attempt.run() == 0
    index, offset = attempt.index("main"), 0
    for line in attempt.read("main.log").splitlines(keepends=True):
        seen = next(second for second, size in index if size > offset)
        assert 0 <= seen - int(line) <= 1
        offset += len(line)
    assert index[-1][1] == len(attempt.read("main.log"))
    assert len({second for second, _ in index[:-1]}) == len(index[:-1])


def test_a_silent_container_leaves_no_index(attempt: Attempt) -> None:
    attempt.stage(shell("main", "sleep 1.2")).run()
    assert "main.index" not in attempt.names()


def test_a_silent_container_is_watched_without_starting_processes(attempt: Attempt) -> None:
    attempt.stage(shell("main", "echo begun; sleep 3"))
    looks, stat = attempt.base / "looks", attempt.base / "bin" / "stat"
    stat.parent.mkdir()
    stat.write_text(f'#!/bin/sh\necho look >> {looks}\nexec /usr/bin/stat "$@"\n')
    stat.chmod(0o755)
    assert attempt.run(PATH=f"{stat.parent}:/usr/bin:/bin") == 0
    assert 1 <= len(looks.read_text().splitlines()) <= 6


def test_term_reaches_the_containers_and_their_codes_are_recorded(attempt: Attempt) -> None:
    attempt.stage(
        shell("tidy", "trap 'echo bye; exit 6' TERM; echo up; sleep 30 & wait"),
        shell("plain", "echo up; exec sleep 30"),
    )
    process = attempt.start()
    wait_until(
        lambda: all(
            (attempt.folder / f"run/0/{name}.log").exists() and attempt.read(f"{name}.log")
            for name in ("tidy", "plain")
        )
    )
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 6
    assert attempt.read("tidy.log") == b"up\nbye\n"
    assert [attempt.exit_code("tidy"), attempt.exit_code("plain")] == [6, 128 + signal.SIGTERM]


def test_a_container_that_ignores_term_is_killed_after_the_grace(attempt: Attempt) -> None:
    attempt.stage(shell("deaf", "trap '' TERM; echo up; while :; do sleep 0.1; done"))
    process = attempt.start()
    wait_until(lambda: (attempt.folder / "run/0/deaf.log").exists() and attempt.read("deaf.log"))
    began = time.monotonic()
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == attempt.exit_code("deaf") == 128 + signal.SIGKILL
    assert 0.9 < time.monotonic() - began < 5


def test_term_during_an_init_container_starts_nothing_more(attempt: Attempt) -> None:
    attempt.stage(shell("main", "exit 0"), init=[shell("slow", "trap 'exit 0' TERM; echo up; sleep 30 & wait")])
    process = attempt.start()
    wait_until(lambda: (attempt.folder / "run/0/slow.log").exists() and attempt.read("slow.log"))
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert "main.started" not in attempt.names()


def test_no_process_of_a_container_outlives_it(attempt: Attempt) -> None:
    attempt.stage(shell("main", "sleep 300 & echo $!"))
    assert attempt.run() == 0
    left = Path(f"/proc/{int(attempt.read('main.log'))}")
    wait_until(lambda: not left.exists() or "\nState:\tZ" in (left / "status").read_text())


def test_a_requeued_batch_job_runs_again_in_a_folder_of_its_own(attempt: Attempt) -> None:
    attempt.stage(shell("main", "echo again"))
    assert attempt.run(native="42") == 0
    assert attempt.run(native="42", SLURM_RESTART_COUNT="1") == 0
    assert attempt.read("main.log", restart=0) == attempt.read("main.log", restart=1) == b"again\n"
    assert {event.split(".")[1] for event in attempt.events()} == {"0", "1"}


def test_another_batch_job_does_not_use_the_folder(attempt: Attempt) -> None:
    attempt.stage(shell("main", "echo ran"))
    assert attempt.run(native="42") == 0
    before = attempt.read("main.ended")
    process = attempt.start(native="43")
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"42 already runs this pod" in said
    assert attempt.read("main.ended") == before
    assert (attempt.folder / "claim").read_text() == "42\n"


def test_slurms_own_job_id_takes_precedence(attempt: Attempt) -> None:
    attempt.stage(shell("main", "true")).run(native="7", SLURM_JOB_ID="1234")
    assert (attempt.folder / "claim").read_text() == "1234\n"


def test_nothing_of_the_batch_environment_reaches_a_container(attempt: Attempt) -> None:
    attempt.stage(shell("main", "cat /proc/$$/environ"))
    attempt.run(SLURM_JOB_ID="1", SECRET_OF_SITE="x", BASH_ENV="/dev/null", CUDA_VISIBLE_DEVICES="3", LANG="de_DE")
    names = {pair.split(b"=")[0] for pair in attempt.read("main.log").split(b"\0") if pair}
    assert names == {b"PATH", b"HOME", b"TMPDIR", b"ISTHMUS_VOLUMES"}


def test_the_schedulers_gpus_reach_a_pod_that_requested_some() -> None:
    with new_attempt() as attempt:
        attempt.stage(shell("main", 'echo "$CUDA_VISIBLE_DEVICES"'))
        script = attempt.folder / "script"
        script.write_text(script.read_text().replace("gpus=0", "gpus=1"))
        attempt.run(CUDA_VISIBLE_DEVICES="0,3")
        assert attempt.read("main.log") == b"0,3\n"


def test_secrets_are_on_no_command_line_and_in_no_readable_file(attempt: Attempt) -> None:
    secret = "hunter2-" + KEY
    attempt.stage(shell("main", "echo up; sleep 0.5", env=(("TOKEN", secret), ("app.ini", secret))))
    process = attempt.start()
    seen = set()
    while process.poll() is None:
        seen |= {command for command in command_lines() if secret.encode() in command}
    process.communicate()
    assert not seen
    holders = [path for path in attempt.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert [path.name for path in holders] == ["env"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def command_lines() -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield process.read_bytes()
        except OSError:
            continue  # it has ended meanwhile


@pytest.mark.parametrize(
    ("container", "code", "word"),
    [
        (Container("main", "busybox"), 127, "CommandMissing"),
        (Container("main", "busybox", args=("true",)), 127, "CommandMissing"),
        (Container("main", "busybox", ("no-such-program",)), 127, "CommandNotRun"),
        (Container("main", "busybox", ("/etc/passwd",)), 126, "CommandNotRun"),
        (shell("main", "pwd", cwd="/no/such/folder"), 128, "WorkingDirMissing"),
    ],
)
@pytest.mark.parametrize("launcher", ["perl", "python3"])
def test_a_container_that_cannot_start_says_why(
    attempt: Attempt, container: Container, code: int, word: str, launcher: str
) -> None:
    attempt.stage(container)
    assert attempt.run(PATH=str(path_with(attempt, launcher))) == code
    reason = attempt.read("main.reason").decode()
    assert reason.startswith(f"{word} ")
    assert reason.endswith(".\n")
    assert reason.partition(" ")[2] == attempt.read("main.log").decode()


def test_a_node_without_perl_and_python_says_so(attempt: Attempt) -> None:
    attempt.stage(shell("main", "true"))
    assert attempt.run(PATH=str(path_with(attempt))) == 125
    assert b"neither perl nor python3" in attempt.read("main.reason")


def path_with(attempt: Attempt, *programs: str) -> Path:
    """Return a PATH that has only what every node has, and these programs."""
    every_node = ("cat", "date", "env", "id", "ln", "mkdir", "mv", "rm", "setsid", "sh", "sleep", "stat")
    return link_programs(attempt.base / "bin", *every_node, *programs)


def test_python_starts_containers_as_perl_does(attempt: Attempt) -> None:
    env = (("app.ini", "[x]\n'\""), ("A", "1"), ("PATH", "/usr/bin:/bin"))
    dump = "cat /proc/$$/environ | sort -z; cat /proc/$$/cmdline; umask; grep -E '^Sig(Ign|Cgt)' /proc/self/status; pwd"
    attempt.stage(shell("main", dump, "an argument", "ü", env=env, cwd="/"))
    outputs = []
    for restart, launcher in enumerate(("perl", "python3")):
        (attempt.base / "bin").exists() and subprocess.run(["rm", "-r", attempt.base / "bin"], check=True)
        assert attempt.run(PATH=str(path_with(attempt, launcher)), SLURM_RESTART_COUNT=str(restart)) == 0
        outputs.append(attempt.read("main.log", restart).replace(b"scratch/1/", b"scratch/0/"))
    assert outputs[0] == outputs[1]
    assert b"app.ini=[x]\n'\"\0" in outputs[0]


def test_a_full_disk_does_not_hide_the_exit_code(attempt: Attempt) -> None:
    """The folder is on a tmpfs of 256 KiB, which the container fills before it fails."""
    fill = 'echo up; until ! head -c 4096 /dev/zero >> "$TMPDIR/fill"; do :; done 2> /dev/null; exit 3'
    attempt.stage(shell("main", fill))
    on_small_disk = f"""set -e
        cp -a {attempt.folder} {attempt.base}/copy
        mount -t tmpfs -o size=256k small {attempt.folder}
        cp -a {attempt.base}/copy/. {attempt.folder}/
        exec "$0" "$@" """
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run(
        [*namespace, "sh", "-c", on_small_disk, *attempt.command()],
        env={"ISTHMUS_NATIVE_ID": "7", "HOME": "/", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert any(event.endswith(".3") for event in attempt.events())


def test_a_folder_relative_to_the_home_is_found(attempt: Attempt) -> None:
    workload = Workload(KEY, f"it's/{KEY}", "research/a-pod", (shell("main", "pwd"),))
    attempt.folder = attempt.base / "it's" / KEY
    (attempt.base / "it's" / "events").mkdir(parents=True)
    attempt.stage(*workload.containers)
    (attempt.folder / "script").write_bytes(render(workload, Runtime(RuntimeKind.HOST)).files[0].content)
    assert attempt.run() == 0
    assert attempt.read("main.log").decode() == f"{attempt.folder}/scratch/0/main/home\n"


def test_a_header_line_with_a_line_break_is_an_error() -> None:
    workload = Workload(KEY, f"/jobs/{KEY}", "research/a-pod", ())
    with pytest.raises(ValueError, match="line break"):
        render(workload, Runtime(RuntimeKind.HOST), ("#SBATCH --comment=a\nb",))


def test_an_unknown_runtime_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="choose one of host, apptainer, singularity, charliecloud"):
        RuntimeKind("docker")
