"""Create the rows of many tenants at a stack's site, each with a virtual node. Runs with the stack's environment.

Standard input: the number of tenants. Standard output: a list of {"slug", "token"} of their nodes.
"""

from __future__ import annotations

import json
import sys

import django


def main() -> None:
    django.setup()
    from sites.models import Site
    from tests.factories import make_node

    site = Site.objects.get()
    nodes = [make_node(site=site) for _ in range(json.load(sys.stdin))]
    json.dump([{"slug": node.slug, "token": token} for node, token in nodes], sys.stdout)


if __name__ == "__main__":
    main()
