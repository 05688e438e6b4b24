"""The stack, the site and the run, once for all of tests/test_kills.py."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.backends.fixtures import slurm_backend, ssh_backend
from tests.kills.aftermath import settle
from tests.kills.gates import Gates
from tests.kills.load import Load
from tests.kills.points import at_random, every_step
from tests.kills.stack import Stack
from tests.kills.strikes import WORKERS, Strikes
from tests.kubelet import Kubelet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.backends.control import Backends
    from tests.kills.aftermath import Aftermath

__all__ = ["aftermath", "folder", "slurm_backend", "ssh_backend", "stack"]

POINTS = int(os.environ.get("KILL_POINTS") or "20")
#: The same in every process of a run (pytest-xdist), because test names contain it.
SEED = int(os.environ.get("KILL_SEED") or random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).randrange(10**6))
#: Seconds. A launch with an unknown outcome is in doubt for 60 s before the queue is searched.
SETTLE_WITHIN = 240.0
#: Short times, so that a run takes minutes. None of them may affect correctness.
QUICK = {
    "ISTHMUS_RETRY_FIRST": "0.5",
    "ISTHMUS_RETRY_LONGEST": "3",
    "ISTHMUS_SUBMIT_RECOVER_AFTER": "4",
    "ISTHMUS_WEB_PROCESSES": "1",
    "ISTHMUS_CAPACITY_EVERY": "15",
}


@pytest.fixture(scope="module")
def folder(ssh_backend: Backends) -> Iterator[Path]:
    """The folder of the whole run; the site's account owns `site` in it. KILL_KEEP=1 keeps it, logs included."""
    if os.geteuid() != 0:
        pytest.skip("This test stops and starts system daemons: run it as root.")
    place = Path(tempfile.mkdtemp(prefix="isthmus-kills-"))
    place.chmod(0o711)
    account = pwd.getpwnam(ssh_backend.user)
    for part in ("site", "site/runs"):
        (place / part).mkdir()
        os.chown(place / part, account.pw_uid, account.pw_gid)
    yield place
    if not os.environ.get("KILL_KEEP"):
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    """Running services with a prepared database; none of our processes runs yet."""
    (folder / "stack").mkdir(mode=0o711)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DATABASE_", "REDIS_"))]:
            patch.delenv(name)  # those of the whole test run, which must stay up
        stack = Stack(folder / "stack", QUICK)
    with stack:
        stack.manage("manage.py", "prepare_database", "-v", "0")
        yield stack


@pytest.fixture(scope="module", params=[SEED], ids=[f"seed-{SEED}"])
def aftermath(request: pytest.FixtureRequest, stack: Stack, folder: Path, ssh_backend: Backends) -> Iterator[Aftermath]:
    """Carry out all points and settle everything as far as possible. The test names contain the seed."""
    base, gates = folder / "site/jobs", Gates.install(folder / "gates", ssh_backend.user)
    node = stack.seed(_site(ssh_backend, base, gates))
    for name in ("web", *WORKERS, "beat"):
        stack.start(name)
    stack.wait_until_up()
    kubelet = Kubelet(f"{stack.url}/vk/{node['slug']}", node["token"], poll_interval=0.5)
    strikes = Strikes(stack, gates, Load(kubelet, folder / "site/runs"), ssh_backend)
    kubelet.run()
    chance = random.Random(request.param)
    for point in every_step(chance) + at_random(POINTS, chance):
        strikes.carry_out(point, chance)
    found = settle(stack, strikes, base=base, within=SETTLE_WITHIN)
    yield found
    kubelet.stop()


def _site(backends: Backends, base: Path, gates: Gates) -> dict[str, object]:
    """Return the site as its operator would describe it. `bin` comes first on the PATH there and holds the gates."""
    ssh = {"host": backends.ssh_host, "port": backends.ssh_port, "user": backends.user}
    config = {
        "ssh": {**ssh, "host_key": backends.known_hosts.read_text()},
        "base": str(base),
        "bin": str(gates.folder),
        "env": {"SLURM_CONF": backends.slurm_conf},
        "runtime": {"kind": "host"},
        "lanes": 2,
    }
    return {"kind": "slurm", "config": config, "secret": backends.key.read_text(), "poll_interval": 1}
