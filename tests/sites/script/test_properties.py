"""Arbitrary strings in every field of a pod arrive unchanged and never run, through a real shell and a real ch-run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sites.workload import Container, File, Mount, Volume
from tests.sites.attempts import Attempt, new_attempt

if TYPE_CHECKING:
    from sites.script import Runtime

pytest_plugins = ["tests.sites.images"]

# Texts that would run, expand, end a quote or a line, or be an option, if anything parsed them.
NASTY = [
    "$(touch canary)", "`touch canary`", "'; touch canary; '", '"; touch canary; "', "\ntouch canary\n", "\\", "$HOME",
    "${PATH}", "~", "*", "!!", "a=b", "'", '"', "''", " ", "\t", "\n", "\r\n", "-n", "--", "--help", "#", "&", "|", ";",
    "<x", ">canary", "%s", "\\n", "EOF", "{a,b}", "[x]", "$'\\x41'", "\x1b[31m", "\x7f", "ü", "日本", "\u2028",
    "\U0001f600", ",", ":", ",ro", ".", "..", "-",
]  # fmt: skip
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
WORDS = st.one_of(
    st.sampled_from(NASTY),
    st.text(LETTERS, max_size=20),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
)
NAMES = WORDS.map(lambda word: word.replace("=", "")).filter(bool)
PARTS = WORDS.map(lambda word: word.replace("/", "")).filter(lambda part: part not in {"", ".", ".."})
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


class Pod(TypedDict):
    """The parts of a pod that a user writes freely."""

    args: list[str]
    env: dict[str, str]
    path: str
    content: bytes
    workdir: str


PODS = st.fixed_dictionaries(
    {
        "args": st.lists(WORDS, max_size=5),
        "env": st.dictionaries(NAMES, WORDS, max_size=6),
        "path": PATHS,
        "content": st.one_of(st.binary(max_size=60), WORDS.map(str.encode)),
        "workdir": PATHS,
    }
)
ONE_FIXTURE_FOR_ALL = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

# Prints its environment and arguments, its working directory, and the file that its first argument names.
BETWEEN = b"\n=between=\n"
PROBE = """cat /proc/$$/environ; printf '\\n=between=\\n'; cat /proc/$$/cmdline; printf '\\n=between=\\n'
pwd -P; printf '\\n=between=\\n'; cat "$1" """


@settings(max_examples=60, database=None, suppress_health_check=ONE_FIXTURE_FOR_ALL)
@given(pod=PODS)
def test_any_text_in_a_pod_arrives_unchanged_and_never_runs(pod: Pod) -> None:
    with new_attempt() as attempt:
        at_site = f"{attempt.folder}/volumes"
        container = probe(pod, file=f"{at_site}/v/{pod['path']}", workdir=f"{at_site}/place/{pod['workdir']}")
        assert attempt.stage(container, volumes=volumes_of(pod)).run() == 0, attempt.read("main.log")
        home = f"{attempt.folder}/scratch/0/main"
        assert_arrived(
            attempt,
            container,
            pod["content"],
            inherited={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": f"{home}/home",
                "TMPDIR": f"{home}/tmp",
                "ISTHMUS_VOLUMES": at_site,
            },
        )


@settings(max_examples=30, database=None, suppress_health_check=ONE_FIXTURE_FOR_ALL)
@given(pod=PODS)
def test_the_same_holds_in_a_charliecloud_container(charliecloud: Runtime, pod: Pod) -> None:
    with new_attempt() as attempt:
        mounts = (Mount("v", f"/files/{pod['path']}/v", read_only=True), Mount("place", f"/opt/{pod['path']}"))
        container = probe(
            pod, file=f"{mounts[0].path}/{pod['path']}", workdir=f"{mounts[1].path}/{pod['workdir']}", mounts=mounts
        )
        attempt.stage(container, volumes=volumes_of(pod), runtime=charliecloud)
        assert attempt.run() == 0, attempt.read("main.log")
        assert_arrived(
            attempt,
            container,
            pod["content"],
            inherited={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/tmp",
                "FROM_IMAGE": "yes",
                "CH_RUNNING": "Weird Al Yankovic",
            },
        )


@settings(max_examples=30, database=None, suppress_health_check=ONE_FIXTURE_FOR_ALL)
@given(image=WORDS, workdir=WORDS)
def test_anything_missing_is_named_in_one_line(charliecloud: Runtime, image: str, workdir: str) -> None:
    with new_attempt() as attempt:
        container = Container("main", image, ("true",), working_dir=f"/none/{workdir}")
        assert attempt.stage(container, runtime=charliecloud).run() == 125
        assert attempt.read("main.reason").startswith(b"ImageMissing ")
        assert attempt.read("main.reason").count(b"\n") == 1
        assert not list(attempt.base.rglob("canary"))


def probe(pod: Pod, *, file: str, workdir: str, mounts: tuple[Mount, ...] = ()) -> Container:
    return Container(
        "main",
        "busybox:1.36",
        ("/bin/sh", "-c", PROBE, "probe", file),
        tuple(pod["args"]),
        tuple(pod["env"].items()),
        workdir,
        mounts,
    )


def volumes_of(pod: Pod) -> list[Volume]:
    return [Volume("v", (File(pod["path"], pod["content"]),)), Volume("place", (File(f"{pod['workdir']}/.keep", b""),))]


def assert_arrived(attempt: Attempt, container: Container, content: bytes, inherited: dict[str, str]) -> None:
    environment, arguments, workdir, file = attempt.read("main.log").split(BETWEEN)
    variables = dict(pair.split(b"=", 1) for pair in environment.split(b"\0")[:-1])
    assert variables == {name.encode(): value.encode() for name, value in {**inherited, **dict(container.env)}.items()}
    assert arguments.split(b"\0")[:-1] == [word.encode() for word in (*container.command, *container.args)]
    assert workdir == container.working_dir.encode() + b"\n"
    assert file == content
    assert not list(attempt.base.rglob("canary"))
