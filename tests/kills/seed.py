"""Create a stack's first rows: one site, and one virtual node that sends to it. Runs with the stack's environment.

Standard input: {"kind", "config", "secret", "poll_interval"} of the site. Standard output: {"slug", "token"} of the
node.
"""

from __future__ import annotations

import json
import sys

import django


def main() -> None:
    django.setup()
    from sites import connections
    from tests.factories import make_node, make_site

    given = json.load(sys.stdin)
    site = make_site(kind=given["kind"], config=given["config"], poll_interval=given["poll_interval"])
    connections.seal_credential(site, given["secret"])
    site.save()
    node, token = make_node(site=site)
    json.dump({"slug": node.slug, "token": token}, sys.stdout)


if __name__ == "__main__":
    main()
