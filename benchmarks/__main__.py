"""Run every benchmark of docs/benchmarks.md, one after the other: `python -m benchmarks [names]`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.figures import FELL_SHORT

#: The names of the benchmark modules, in the order of docs/benchmarks.md. `python -m benchmarks.<name>` runs one.
ALL = ("seen", "status", "create", "submit", "poll", "memory", "admission")


def main() -> int:
    """Return the exit code: 1 if a benchmark could not run, FELL_SHORT if a figure falls short."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(ALL)}; default: all")
    names = parser.parse_args().names or ALL
    if strangers := set(names) - set(ALL):
        parser.error(f"there is no benchmark {', '.join(sorted(strangers))}: choose among {', '.join(ALL)}")
    codes = {name: _run(name) for name in names}
    short = [name for name, code in codes.items() if code == FELL_SHORT]
    broken = [name for name, code in codes.items() if code not in {0, FELL_SHORT}]
    print(f"\nfell short: {', '.join(short) or 'none'}; could not run: {', '.join(broken) or 'none'}")
    return 1 if broken else FELL_SHORT if short else 0


def _run(name: str) -> int:
    """Run one benchmark in its own process, since each must set its environment before Django loads."""
    print(f"\n== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
