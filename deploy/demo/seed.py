"""Creates the demo's rows: a tenant, an administrator, and for each site a virtual node with a token.

Every function uses the rows of an earlier run if they exist, so a second run keeps its data and its tokens.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from controlplane.auth import token_format
from controlplane.auth.tokens import issue
from controlplane.tenants.models import ApiToken, Person, Tenant, VirtualNode
from sites import connections
from sites.models import Allocation, Route, Site

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.demo.options import SlurmSite


@dataclass(frozen=True)
class Node:
    """One virtual node as demo.json lists it."""

    name: str
    url: str
    token: str
    site: str


def local_site(slug: str, base: Path, user: str) -> Site:
    """Create the site that runs jobs on this host, in `base`, as `user` (empty: as ourselves)."""
    config: dict[str, Any] = {"base": str(base), "runtime": {"kind": "host"}, "slots": 4}
    if user:
        config["user"] = user
    return _site(slug, "This host", "local", config, interval=1)


def slurm_site(chosen: SlurmSite) -> Site:
    """Create the site for the cluster that DEMO_SSH names."""
    runtime = {"kind": chosen.runtime, "path": chosen.runtime_path, "images": chosen.images}
    ssh = {"host": chosen.host, "port": chosen.port, "user": chosen.user, "host_key": chosen.known_hosts}
    config: dict[str, Any] = {"ssh": ssh, "runtime": {key: value for key, value in runtime.items() if value}}
    if chosen.slurm_conf:
        config["env"] = {"SLURM_CONF": chosen.slurm_conf}
    site = _site("slurm", f"Slurm at {chosen.host}", "slurm", config, interval=5)
    connections.seal_credential(site, chosen.key)
    site.save(update_fields=["credential", "changed_at"])
    return site


def node_for(site: Site, url: str, known: dict[str, str]) -> Node:
    """Create the virtual node that sends to `site`. Its token in `known` (name -> token) stays while it is valid."""
    tenant, _ = Tenant.objects.get_or_create(slug="demo", defaults={"name": "Demo community"})
    node, _ = VirtualNode.objects.get_or_create(slug=f"demo-{site.slug}", defaults={"tenant": tenant})
    Route.objects.update_or_create(node=node, defaults={"site": site})
    Allocation.objects.get_or_create(tenant=tenant, site=site)
    token = known.get(node.slug, "")
    if not is_good(token, node=node):
        _, token = issue.mint(node, label="make demo")
    return Node(name=node.slug, url=f"{url}/vk/{node.slug}", token=token, site=site.slug)


def administrator(known: dict[str, str]) -> dict[str, str]:
    """Create the person who may use the admin pages, with the password of the first run."""
    if known and Person.objects.filter(username=known["username"]).exists():
        return known
    password = secrets.token_urlsafe(15)
    person, _ = Person.objects.get_or_create(
        username="admin", defaults={"name": "Demo administrator", "is_staff": True, "is_superuser": True}
    )
    person.set_password(password)
    person.save(update_fields=["password"])
    return {"username": person.username, "password": password}


def read_demo_json(place: Path) -> dict[str, Any]:
    """Return demo.json as an earlier run wrote it, or its keys with empty values."""
    page = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    return {"nodes": [], "people": [], "admin": {}, **page}


def is_good(token: str, **owner: VirtualNode | Person) -> bool:
    """Whether `token` belongs to its owner (node= or person=) and is neither expired nor revoked."""
    good = ApiToken.objects.filter(revoked_at=None, expires_at__gt=timezone.now(), **owner)
    return good.filter(digest=token_format.digest(token)).exists()


def _site(slug: str, name: str, kind: str, config: dict[str, Any], *, interval: float) -> Site:
    site, _ = Site.objects.update_or_create(
        slug=slug,
        defaults={
            "name": name,
            "kind": kind,
            "config": config,
            "poll_interval": interval,
            "shared_account": True,  # one person plays all tenants of the demo, with one account
        },
    )
    return site
