"""Commands over a real sshd on loopback, and connections that are refused, cut and changed."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncssh
import pytest

from sites.connectors.base import Rejected, Unreachable
from sites.connectors.config import BadConfig
from sites.connectors.shell.event_loop import wait_for
from sites.connectors.shell.ssh import SshShell
from sites.connectors.shell.ssh_settings import SshSettings, pinned
from tests.backends.control import cut_ssh_sessions, start_sshd, stop_sshd
from tests.threads import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.connectors.shell.base import Completed
    from tests.backends.control import Backends


@pytest.fixture(scope="module")
def settings(ssh_backend: Backends) -> SshSettings:
    known = ssh_backend.known_hosts.read_text()
    return SshSettings(ssh_backend.ssh_host, ssh_backend.user, known, ssh_backend.ssh_port, connect_timeout=5)


@pytest.fixture
def shell(settings: SshSettings, ssh_backend: Backends) -> Iterator[SshShell]:
    shell = SshShell(settings, ssh_backend.key.read_text())
    yield shell
    shell.close()


def test_a_program_gets_its_stdin_and_returns_its_exit_code(shell: SshShell) -> None:
    done = shell.run("cat; echo oops >&2; exit 3", b"\0\xff any bytes\n" * 200_000, timeout=20)
    assert (done.exit, done.stdout, done.complaint) == (3, b"\0\xff any bytes\n" * 200_000, "oops")


def test_many_threads_share_one_connection_and_never_open_too_many_sessions(shell: SshShell) -> None:
    answers = at_once(*[lambda: _client(shell)] * 30)
    assert len(set(answers)) == 1


def test_a_session_that_the_site_still_counts_as_open_is_requested_again(
    settings: SshSettings, ssh_backend: Backends
) -> None:
    shell = SshShell(replace(settings, sessions=14), ssh_backend.key.read_text())  # the test's sshd allows 10
    try:
        ended = at_once(*[lambda: shell.run("sleep 0.3", timeout=30)] * 14)
        assert [each.exit for each in ended] == [0] * 14
    finally:
        shell.close()


def _client(shell: SshShell) -> bytes:
    return shell.run('echo "$SSH_CONNECTION"', timeout=30).stdout


def test_a_changed_host_key_stops_us_before_anything_is_sent(settings: SshSettings, ssh_backend: Backends) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    changed = replace(settings, host_key=pinned(other, settings.host, settings.port))
    with pytest.raises(Unreachable, match=r"The host key of 127\.0\.0\.1 has changed: nothing was sent\. Tell the"):
        SshShell(changed, ssh_backend.key.read_text()).run("true", timeout=10)


def test_a_key_that_the_site_does_not_accept_is_reported_for_the_operator(settings: SshSettings) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    with pytest.raises(Unreachable, match="does not accept our key"):
        SshShell(settings, stranger).run("true", timeout=10)


def test_a_refused_connection_is_reported_in_a_sentence(settings: SshSettings, ssh_backend: Backends) -> None:
    nobody = replace(settings, port=9, host_key=settings.host_key.replace(str(settings.port), "9"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 cannot be reached: Connection refused\."):
        SshShell(nobody, ssh_backend.key.read_text()).run("true", timeout=10)


def test_a_host_that_never_answers_times_out(settings: SshSettings, ssh_backend: Backends) -> None:
    # 192.0.2.0/24 is reserved for documentation: no host is there.
    away = replace(settings, host="192.0.2.1", host_key=settings.host_key.replace("127.0.0.1", "192.0.2.1"))
    began = time.monotonic()
    with pytest.raises(Unreachable):
        SshShell(replace(away, connect_timeout=1), ssh_backend.key.read_text()).run("true", timeout=10)
    assert time.monotonic() - began < 8


def test_a_command_that_takes_too_long_is_ended_at_the_site(shell: SshShell) -> None:
    mark = f"61{time.time_ns() % 10**6:06d}"
    with pytest.raises(Unreachable, match="no answer within"):
        shell.run(f"sleep {mark}", timeout=0.5)
    deadline = time.monotonic() + 5
    while shell.run(f"grep -lz '^{mark}$' /proc/[0-9]*/cmdline", timeout=10).stdout and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shell.run(f"grep -lz '^{mark}$' /proc/[0-9]*/cmdline", timeout=10).stdout == b""


def test_endless_output_is_cut_off(settings: SshSettings, ssh_backend: Backends) -> None:
    shell = SshShell(settings, ssh_backend.key.read_text(), output_limit=1_000_000)
    with pytest.raises(Unreachable, match="more than 1000000 bytes"):
        shell.run("yes", timeout=20)
    shell.close()


def test_a_connection_that_was_cut_is_made_again_by_the_next_call(shell: SshShell, ssh_backend: Backends) -> None:
    before = _client(shell)
    cut_ssh_sessions(ssh_backend)
    assert _client(shell) != before


def test_a_connection_lost_at_the_moment_of_a_call_is_made_again(shell: SshShell, settings: SshSettings) -> None:
    shell.run("true", timeout=10)
    link = shell._link(settings.user)

    async def lose_and_ask() -> Completed:
        assert link._connection
        link._connection.abort()  # it is called closed only in the loop's next turn
        return await link.exchange("echo here", b"", 10)

    assert wait_for(lose_and_ask(), 20).stdout == b"here\n"


def test_a_command_whose_connection_is_cut_has_no_answer(shell: SshShell, ssh_backend: Backends) -> None:
    shell.run("true", timeout=10)
    threading.Timer(0.5, cut_ssh_sessions, [ssh_backend]).start()
    with pytest.raises(Unreachable):
        shell.run("sleep 20", timeout=15)


def test_a_site_that_comes_back_is_reached_again(shell: SshShell, ssh_backend: Backends) -> None:
    shell.run("true", timeout=10)
    stop_sshd(ssh_backend)
    try:
        with pytest.raises(Unreachable):
            shell.run("true", timeout=10)
    finally:
        start_sshd(ssh_backend)
    assert shell.run("echo back", timeout=10).stdout == b"back\n"


def test_a_site_is_reached_through_another_host(settings: SshSettings, ssh_backend: Backends) -> None:
    shell = SshShell(replace(settings, proxy_jump=settings), ssh_backend.key.read_text())
    assert shell.run("echo through", timeout=10).stdout == b"through\n"
    shell.close()


def test_an_invalid_account_name_is_refused(shell: SshShell) -> None:
    with pytest.raises(Rejected, match="not the name of an account"):
        shell.run("true", timeout=10, account="-oProxyCommand=x")


def test_a_key_with_a_passphrase_is_refused_with_a_sentence(settings: SshSettings) -> None:
    locked = asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", "secret").decode()
    with pytest.raises(BadConfig, match="has a passphrase"):
        SshShell(settings, locked)
    with pytest.raises(BadConfig, match="must be an OpenSSH private key"):
        SshShell(settings, "no key at all")


def test_a_bare_public_key_is_pinned_for_its_host() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    assert pinned(key, "hpc.example.org", 22) == f"hpc.example.org {key}"
    assert pinned(key, "hpc.example.org", 2222) == f"[hpc.example.org]:2222 {key}"
    with pytest.raises(BadConfig, match=r"No host key of hpc\.example\.org is pinned"):
        pinned(f"other.example.org {key}", "hpc.example.org", 22)
