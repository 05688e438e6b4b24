"""All figures of docs/benchmarks.md, one benchmark after the other: `python -m benchmarks [names]`."""

from __future__ import annotations

import argparse
import subprocess
import sys

#: Each is a module of its own, `python -m benchmarks.<name>`, in the order of docs/benchmarks.md.
ALL = ("seen", "status", "create", "submit", "poll", "memory")


def main() -> int:
    """The exit code is 1 when a figure falls short or a benchmark could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(ALL)}; all when none is named")
    names = parser.parse_args().names or ALL
    if strangers := set(names) - set(ALL):
        parser.error(f"there is no benchmark {', '.join(sorted(strangers))}: choose among {', '.join(ALL)}")
    failed = [name for name in names if not _run(name)]
    if failed:
        print(f"\nfell short, or could not run: {', '.join(failed)}")
    return 1 if failed else 0


def _run(name: str) -> bool:
    """In a process of its own: each settles its settings before Django loads, and leaves nothing to the next."""
    print(f"\n== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
