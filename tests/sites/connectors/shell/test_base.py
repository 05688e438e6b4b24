"""Programs on this host: bounded, unprivileged, without our own environment or a login shell's output."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from sites.connectors.base import Rejected, Unreachable
from sites.connectors.config import BadConfig
from sites.connectors.shell.local import LocalShell
from tests.sites.stand_in import unprivileged_user

if TYPE_CHECKING:
    from sites.connectors.shell.base import Completed


@pytest.fixture
def shell() -> LocalShell:
    return LocalShell(unprivileged_user())


class Noisy(LocalShell):
    """A login shell that prints a greeting on both streams."""

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        return super()._exchange(f"echo Welcome; echo News >&2; {loader}", stdin, timeout, account)


class Cut(LocalShell):
    """A connection that is lost after this many bytes."""

    arrives = 0

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        return super()._exchange(loader, stdin[: self.arrives], timeout, account)


def test_a_program_gets_its_stdin_and_returns_its_exit_code(shell: LocalShell) -> None:
    done = shell.run("cat; echo oops >&2; exit 3", b"\0\xff any bytes\n" * 100_000, timeout=10)
    assert (done.exit, done.stdout, done.complaint) == (3, b"\0\xff any bytes\n" * 100_000, "oops")


def test_a_login_shells_own_output_is_not_part_of_the_answer() -> None:
    done = Noisy(unprivileged_user()).run("echo answer; echo complaint >&2", timeout=10)
    assert (done.stdout, done.stderr) == (b"answer\n", b"complaint\n")


def test_a_login_shell_that_runs_nothing_is_unreachable() -> None:
    class Closed(LocalShell):
        def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
            return super()._exchange("echo This account is not available.; exit 1", stdin, timeout, account)

    with pytest.raises(Unreachable, match=r"did not run our program; it said: This account is not available\.$"):
        Closed(unprivileged_user()).run("echo answer", timeout=10)


def test_a_program_that_arrives_incompletely_does_not_run(shell: LocalShell) -> None:
    trace = shell.run("mktemp -u", timeout=10).stdout.decode().strip()
    program = f"echo > {trace}\n" + ":\n" * 1000
    cut = Cut(unprivileged_user())
    cut.arrives = 500
    with pytest.raises(Unreachable):
        cut.run(program, timeout=10)
    assert not os.path.exists(trace)  # noqa: PTH110
    cut.arrives = 100_000
    cut.run(f"{program}rm {trace}", timeout=10)


def test_a_program_that_takes_too_long_is_ended(shell: LocalShell) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match="in time"):
        shell.run("echo $$ > .isthmus-test-pid; sleep 60", timeout=0.5)
    assert time.monotonic() - began < 5
    left = shell.run("kill -0 $(cat .isthmus-test-pid) && echo alive; rm .isthmus-test-pid", timeout=10)
    assert left.stdout == b""


def test_a_program_with_endless_output_is_ended() -> None:
    with pytest.raises(Unreachable, match="more than 1000000 bytes"):
        LocalShell(unprivileged_user(), output_limit=1_000_000).run("yes", timeout=20)


def test_a_detached_process_does_not_keep_its_program_open(shell: LocalShell) -> None:
    began = time.monotonic()
    shell.run("setsid sleep 20 < /dev/null > /dev/null 2>&1 &", timeout=10)
    assert time.monotonic() - began < 5


def test_programs_do_not_see_our_environment(shell: LocalShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_ENCRYPTION_KEYS", "a secret")
    names = {line.partition("=")[0] for line in shell.run("env", timeout=10).stdout.decode().splitlines()}
    assert names <= {"HOME", "LC_ALL", "LOGNAME", "PATH", "PWD", "SHELL", "SHLVL", "USER", "_", "OLDPWD"}


def test_programs_start_in_the_home_of_their_user(shell: LocalShell) -> None:
    assert shell.run('[ "$PWD" = "$HOME" ] && id -un', timeout=10).stdout.decode().strip() == unprivileged_user()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run programs as another user")
def test_nothing_ever_runs_as_root() -> None:
    with pytest.raises(BadConfig, match="never run as root"):
        LocalShell()
    with pytest.raises(BadConfig, match="never run as root"):
        LocalShell("root")
    with pytest.raises(BadConfig, match="never run as root"):
        LocalShell(unprivileged_user()).run(":", timeout=10, account="root")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may run programs as any user")
def test_only_root_may_run_programs_as_another_user() -> None:
    with pytest.raises(Rejected, match="Only a service started as root"):
        LocalShell().run(":", timeout=10, account="daemon")


def test_an_unknown_user_is_named_in_the_error() -> None:
    with pytest.raises(BadConfig, match="no user 'nobody-at-all'"):
        LocalShell("nobody-at-all")
