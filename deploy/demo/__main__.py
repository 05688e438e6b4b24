"""`make demo`: runs the whole control plane on this machine and sends three pods through it. Ctrl-C ends it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from deploy import embedded
from deploy.demo import identity, options
from deploy.demo.identity import write_private
from deploy.demo.processes import Children, argvs
from deploy.embedded.unprivileged import CannotStart, private_folder, system_user
from deploy.people import PEOPLE

if TYPE_CHECKING:
    from types import FrameType

    from deploy.demo.identity import Identity
    from deploy.demo.seed import Node

PROJECT = Path(__file__).resolve().parent.parent.parent
#: The slug of the site on this host.
LOCAL = "local"
UP_WITHIN = 60.0
PODS_WITHIN = 120.0
CANCEL_WITHIN = 30.0


def main() -> int:
    """Start everything, send the pods, wait for Ctrl-C, stop. Returns the exit code: 1 if something did not start."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGINT, _as_interrupt)  # a script's background processes ignore SIGINT by default
    try:
        chosen = options.read_options()
        with embedded.start(chosen.home) as running:
            return _run(chosen, running)
    except (options.BadOption, CannotStart) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def _run(chosen: options.Options, running: embedded.Services) -> int:
    provider = identity.load_or_create(chosen.home, chosen.port)
    os.environ.update(running.environment() | _settings(chosen, provider))
    url = f"http://127.0.0.1:{chosen.port}"
    nodes = _seed(chosen, running, url, provider)
    children = Children(environ=dict(os.environ), project=PROJECT, logs=chosen.home)
    try:
        children.start("provider", identity.argv(chosen.home))
        for name, argv in argvs(chosen.port).items():
            children.start(name, argv)
        if not _is_up(url, children):
            return 1
        _show(nodes[0], url, chosen)
        while not (dead := children.dead()):
            time.sleep(0.5)
        say(f"The {dead} process has ended; {children.logs / dead}.log says why. Everything is stopped.")
        return 1
    except KeyboardInterrupt:
        say("Stopping; local jobs are cancelled first.")
        _cancel_local_jobs()
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave children behind
        children.stop()
        say("Stopped. The data is kept for the next `make demo`.")


def _settings(chosen: options.Options, provider: Identity) -> dict[str, str]:
    """Return the environment of a production process. The first run makes its keys; a file in `home` keeps them."""
    place = chosen.home / "keys.json"
    if not place.exists():
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        write_private(place, json.dumps({"secret": secrets.token_urlsafe(40), "ring": f"demo:{key}"}))
    keys = json.loads(place.read_text(encoding="utf-8"))
    return {
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "ISTHMUS_SECRET_KEY": keys["secret"],
        "ISTHMUS_ENCRYPTION_KEYS": keys["ring"],
        "ISTHMUS_ISSUERS": str(identity.write_issuers(chosen.home, provider, site=LOCAL)),
        "ISTHMUS_SECURE_COOKIES": "false",  # plain http on loopback
        "ISTHMUS_LOG_ARCHIVE": str(chosen.home / "logs"),
        "PROMETHEUS_MULTIPROC_DIR": str(chosen.home / "metrics"),
        "ISTHMUS_DATABASE_ROLE": "owner",
    }


def _seed(chosen: options.Options, running: embedded.Services, url: str, provider: Identity) -> list[Node]:
    """Migrate the database, add the demo's rows, and write demo.json. Returns the virtual nodes."""
    import django

    django.setup()
    from django.core.management import call_command

    from deploy.demo import seed, seed_people

    say("Preparing the database.")
    call_command("prepare_database", verbosity=0)
    place = chosen.home / "demo.json"
    before = seed.read_demo_json(place)
    known = {node["name"]: node["token"] for node in before["nodes"]}
    user = system_user()
    base = private_folder(running.folder / "site", user)
    sites = [seed.local_site(LOCAL, base, user.pw_name if user else "")]
    if chosen.slurm:
        sites.append(seed.slurm_site(chosen.slurm))
    nodes = [seed.node_for(site, url, known) for site in sites]
    seed_people.communities(sites[0])
    people = seed_people.people({person["name"]: person["token"] for person in before["people"]})
    page = {
        "url": url,
        "nodes": [asdict(node) for node in nodes],
        "admin": seed.administrator(before["admin"]),
        "people": [asdict(person) for person in people],
        "login": {"url": f"{url}/login/", "password": provider.password},
    }
    write_private(place, json.dumps(page, indent=2) + "\n")
    return nodes


def _is_up(url: str, children: Children) -> bool:
    """Wait for /readyz. Returns False, and names the log, if a child ends or the server does not answer in time."""
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline:
        if dead := children.dead():
            say(f"The {dead} process ended at once; {children.logs / dead}.log says why.")
            return False
        try:
            with urlopen(f"{url}/readyz", timeout=2):  # noqa: S310  (our own address)
                return True
        except (URLError, OSError):
            time.sleep(0.2)
    say(f"The web server did not answer within {UP_WITHIN:.0f} s; {children.logs}/web.log says why.")
    return False


def _show(node: Node, url: str, chosen: options.Options) -> None:
    """Send the three pods, print each change of their phase, and then how to log in."""
    from deploy.demo import pods

    say(f"Isthmus is up at {url} and answers virtual kubelets at {node.url}.")
    watcher = pods.Watcher(node, say)
    sent = pods.pods()
    for pod in sent:
        watcher.create(pod)

    def follow() -> None:
        for line in watcher.follow(sent[-1]):
            say(f"{sent[-1]['metadata']['name']} | {line}")

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    ended = watcher.watch(sent, until=time.monotonic() + PODS_WITHIN)
    follower.join(5)
    all_well = "All three pods have ended; one of them failed on purpose."
    say(all_well if ended else "Not all pods have ended yet; the logs beside demo.json say why.")
    say(f"API {url}   admin pages {url}/admin/   tokens and passwords: {chosen.home / 'demo.json'}")
    say(
        f"Log in at {url}/login/ as {', '.join(someone.name for someone in PEOPLE)}: with the one login password there."
    )
    say("It stays up until Ctrl-C.")


def _cancel_local_jobs() -> None:
    """Request the cancellation of every local job, and wait until the worker has done it: the jobs would outlive us."""
    from django.db import OperationalError, connection
    from django.utils import timezone

    from jobs import cancellation
    from jobs.models import Job
    from jobs.states import ALIVE
    from sites.reasons import Reason

    connection.close()  # the server may have closed it in the meantime
    local = Job.objects.filter(site__kind="local", state__in=ALIVE)
    try:
        chosen = list(local.values_list("pk", flat=True))
        cancellation.cancel(chosen, reason=Reason.DEMO_STOPPED, message="The demo was stopped.", now=timezone.now())
        deadline = time.monotonic() + CANCEL_WITHIN
        while time.monotonic() < deadline:
            if not local.exists():
                return
            time.sleep(0.3)
    except OperationalError:
        say("PostgreSQL does not answer.")
    say("Some local jobs are still being cancelled; they end with their time limit.")


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(line: str) -> None:
    """Print one line with the time."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
