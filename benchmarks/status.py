"""Table (b): /status of a known pod, 32 connections, with 100,000 and 1,000,000 rows.

    python -m benchmarks.status [--rows 100000 1000000] [--seconds 8] [--rounds 3]

Both servers run side by side with the same settings and take turns, so that other load on the machine affects both. The
pods that are sent are as large as a real kubelet's. Needs `wrk` on the PATH.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from benchmarks.figures import Figure, tell
from benchmarks.web import Prepared, prepared

CONNECTIONS = 32
LEAST_RATIO, LEAST_RATE, SLOWEST = 0.7, 10_000, 0.020
# A slow answer shows in the p99 (wrk reports more than two seconds as a time-out). A broken connection is a failure.
NO_ERRORS = r"\A(?!.*Socket errors)|Socket errors: connect 0, read 0, write 0,"
POLLED = 1000  # different pods, polled in turn
RECORDED = Path(__file__).parents[1] / "tests" / "data" / "kubelet-traffic.jsonl"

# Copies of one running job, each with its own names. %s: the first and the last number.
FILL = """
    INSERT INTO jobs_job ({columns}, key, pod_uid, attempt_key, native_id, next_submit_at, state)
    SELECT {columns}, md5('k' || n) || '00000000', md5('u' || n)::uuid, md5('a' || n) || '00000000', n::text, NULL,
           'running'
    FROM (SELECT * FROM jobs_job ORDER BY id LIMIT 1) AS model, generate_series(%s::int, %s::int) AS n
"""
OWN = {"id", "key", "pod_uid", "attempt_key", "native_id", "next_submit_at", "state"}

SCRIPT = """
local requests, last = {}, 0
function init()
  for body in io.lines(os.getenv("BODIES")) do
    local headers = {["Authorization"] = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json"}
    requests[#requests + 1] = wrk.format("GET", "/status", headers, body)
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
"""


@dataclass(frozen=True)
class Measured:
    """rate: requests per second; p99: seconds."""

    rate: float
    p99: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure /status beside a bare WSGI function with the same SELECT.")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--seconds", type=int, default=8, help="seconds of each round")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing, which sends the requests: install it.")
    with prepared() as made:
        _model(made)
        figures = [_figure(made, rows, asked.seconds, asked.rounds) for rows in sorted(asked.rows)]
    return tell(*figures)


def _figure(made: Prepared, rows: int, seconds: int, rounds: int) -> Figure:
    node = _fill(made, rows)
    with (
        tempfile.TemporaryDirectory() as folder,
        made.serving() as ours,
        made.serving("benchmarks.bare_status:application", BENCHMARK_NODE=str(node)) as bare,
    ):
        load = Load(Path(folder), _bodies(made), made.token)
        for port in (ours, bare):
            load.run(port, seconds=2)
        pairs = [(load.run(ours, seconds=seconds), load.run(bare, seconds=seconds)) for _ in range(rounds)]
    mine, yard = (_middle([pair[place] for pair in pairs]) for place in (0, 1))
    ratio = statistics.median(mine.rate / yard.rate for mine, yard in pairs)
    return Figure(
        f"(b) /status, {rows:,} rows",
        f"{mine.rate:,.0f}/s, p99 {mine.p99 * 1000:.1f} ms",
        f"{yard.rate:,.0f}/s, p99 {yard.p99 * 1000:.1f} ms",
        ratio,
        f">= {LEAST_RATIO} of the yardstick and >= {LEAST_RATE:,}/s, p99 < {SLOWEST * 1000:.0f} ms",
        ratio >= LEAST_RATIO and mine.rate >= LEAST_RATE and mine.p99 < SLOWEST,
    )


def _middle(measured: list[Measured]) -> Measured:
    return Measured(statistics.median(each.rate for each in measured), statistics.median(each.p99 for each in measured))


class Load:
    """Runs wrk, which sends these bodies in turn."""

    def __init__(self, folder: Path, bodies: list[str], token: str) -> None:
        self._script, self._bodies, self._token = folder / "status.lua", folder / "bodies", token
        self._script.write_text(SCRIPT, encoding="ascii")
        self._bodies.write_text("\n".join(bodies), encoding="utf-8")

    def run(self, port: int, *, seconds: int) -> Measured:
        """Run one round. Stops the benchmark if any answer is not 200."""
        argv = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(self._script)]
        environ = {"BODIES": str(self._bodies), "TOKEN": self._token}
        done = subprocess.run(
            [*argv, f"http://127.0.0.1:{port}"], env=environ, check=True, stdout=subprocess.PIPE, text=True
        )
        if "Non-2xx" in done.stdout or not re.search(NO_ERRORS, done.stdout, re.DOTALL):
            raise SystemExit(f"Some answers were not 200:\n{done.stdout}")
        return Measured(_number(r"Requests/sec:\s+([\d.]+)", done.stdout), _duration(r"99%\s+(\S+)", done.stdout))


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"wrk printed something unexpected:\n{text}")
    return float(found[1])


def _duration(pattern: str, text: str) -> float:
    for unit, seconds in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if re.search(pattern.replace(r"(\S+)", rf"([\d.]+){unit}\b"), text):
            return _number(pattern.replace(r"(\S+)", rf"([\d.]+){unit}\b"), text) * seconds
    raise SystemExit(f"wrk printed something unexpected:\n{text}")


def _model(made: Prepared) -> None:
    """Create one job over the wire; all other rows are copies of it."""
    body = next(line["body"] for line in _recorded() if line["path"] == "/create")
    with made.serving() as port:
        headers = {"Authorization": f"Bearer {made.token}"}
        requests.post(f"http://127.0.0.1:{port}/create", json=body, headers=headers, timeout=60).raise_for_status()


def _fill(made: Prepared, rows: int) -> int:
    """Fill the table up to this many rows. Return the node's id."""
    with psycopg.connect(made.database_url, autocommit=True) as database:
        there, node = database.execute("SELECT count(*), min(node_id) FROM jobs_job").fetchone() or (0, 0)
        asked = "SELECT column_name FROM information_schema.columns WHERE table_name = 'jobs_job'"
        columns = ", ".join(name for (name,) in database.execute(asked) if name not in OWN)
        database.execute(FILL.format(columns=columns), [there, rows - 1])
        database.execute("VACUUM ANALYZE jobs_job")
    return int(node)


def _bodies(made: Prepared) -> list[str]:
    """Return /status bodies: the recorded pod under the names of POLLED rows, spread over the table."""
    polled = next(line["body"] for line in _recorded() if line["path"] == "/status")
    with psycopg.connect(made.database_url) as database:
        rows = database.execute(
            "SELECT pod_uid FROM jobs_job WHERE state = 'running' ORDER BY md5(key) LIMIT %s", [POLLED]
        ).fetchall()
    bodies = []
    for (uid,) in rows:
        polled[0]["metadata"]["uid"] = str(uid)
        bodies.append(json.dumps(polled))
    return bodies


def _recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
