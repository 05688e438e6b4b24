"""Table (c): 400 pods created 128 at a time, beside bare INSERTs of the same rows.

    python -m benchmarks.create [--pods 400] [--at-once 128] [--rounds 3]

The yardstick inserts copies of the rows that our service has just written: a job and the first line of its history,
each pair in its own transaction, over as many connections as the web processes may hold. Rounds alternate. After each
round, every answer must have its row.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.figures import Figure, tell
from benchmarks.web import Prepared, prepared
from tests.pods import make_pod

LEAST_RATE, MEDIAN, SLOWEST = 300, 0.5, 2.0
Row = tuple[str | None, ...]
CONNECTIONS = 16  # two web processes with eight connections each: the defaults


@dataclass(frozen=True)
class Burst:
    """rate: creates per second; took: seconds of each create."""

    rate: float
    took: list[float]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure bursts of creates beside bare INSERTs of the same rows.")
    parser.add_argument("--pods", type=int, default=400)
    parser.add_argument("--at-once", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with prepared() as made, made.serving() as port:
        asyncio.run(_burst(made, port, pods=asked.at_once, at_once=asked.at_once))
        _forget(made)
        pairs = [_round(made, port, asked.pods, asked.at_once) for _ in range(asked.rounds)]
    took = sorted(second for ours, _ in pairs for second in ours.took)
    rate = statistics.median(ours.rate for ours, _ in pairs)
    bare = statistics.median(bare for _, bare in pairs)
    median, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    return tell(
        Figure(
            f"(c) {asked.pods} creates, {asked.at_once} at a time",
            f"{rate:.0f}/s, median {median:.2f} s, p99 {p99:.2f} s, none lost",
            f"{bare:.0f}/s",
            rate / bare,
            f">= {LEAST_RATE}/s, median < {MEDIAN} s, p99 < {SLOWEST:.0f} s",
            rate >= LEAST_RATE and median < MEDIAN and p99 < SLOWEST,
        )
    )


def _round(made: Prepared, port: int, pods: int, at_once: int) -> tuple[Burst, float]:
    burst = asyncio.run(_burst(made, port, pods=pods, at_once=at_once))
    with psycopg.connect(made.database_url) as database:
        (rows,) = database.execute("SELECT count(*) FROM jobs_job").fetchone() or (0,)
    if rows != pods:
        raise SystemExit(f"{pods} creates were answered 200, and {rows} rows are there.")
    bare = _bare(made)
    _forget(made)
    return burst, bare


async def _burst(made: Prepared, port: int, *, pods: int, at_once: int) -> Burst:
    waiting = [_request(made.token, number) for number in range(pods)]
    took: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, waiting, took) for _ in range(at_once)))
    return Burst(pods / (time.perf_counter() - began), took)


async def _client(port: int, waiting: list[bytes], took: list[float]) -> None:
    """Send waiting pods over one connection, one after the other. Any answer but 200 ends the benchmark."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while waiting:
        request = waiting.pop()
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        took.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"A create was answered {head.split()[1].decode()}: {body.decode()}")
    writer.close()
    await writer.wait_closed()


def _request(token: str, number: int) -> bytes:
    pod = make_pod(f"pod-{number}")
    pod["metadata"]["uid"] = str(uuid.uuid4())
    body = json.dumps({"pod": pod, "configmaps": None, "secrets": None, "projectedvolumesmaps": None}).encode()
    head = (
        f"POST /create HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _bare(made: Prepared) -> float:
    """Return rows per second when copies of the existing jobs are inserted and nothing else is done."""
    with psycopg.connect(made.database_url) as database:
        jobs = _texts(database, "jobs_job", "id")
        history = _texts(database, "jobs_transition", "job_id")
        inserts = _insert(database, "jobs_job"), _insert(database, "jobs_transition")
    _forget(made)
    pairs = list(zip(jobs, history, strict=True))
    with ThreadPoolExecutor(CONNECTIONS) as pool, ExitStack() as stack:
        databases = [stack.enter_context(psycopg.connect(made.database_url)) for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        shares = [pairs[number::CONNECTIONS] for number in range(CONNECTIONS)]
        list(pool.map(_insert_all, databases, shares, [inserts] * CONNECTIONS))
        return len(pairs) / (time.perf_counter() - began)


def _insert_all(
    database: psycopg.Connection, pairs: list[tuple[Row, Row]], inserts: tuple[sql.Composed, sql.Composed]
) -> None:
    for job, line in pairs:
        with database.transaction():
            database.execute(inserts[0], job)
            database.execute(inserts[1], line)


def _texts(database: psycopg.Connection, table: str, order: str) -> list[Row]:
    """Return the table's rows, ordered by that column, with every value as PostgreSQL's text."""
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in _columns(database, table))
    statement = sql.SQL("SELECT {} FROM {} ORDER BY {}")
    return database.execute(statement.format(columns, sql.Identifier(table), sql.Identifier(table, order))).fetchall()


def _insert(database: psycopg.Connection, table: str) -> sql.Composed:
    columns = _columns(database, table)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    places = sql.SQL(", ").join([sql.Placeholder()] * len(columns))
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, places)


def _columns(database: psycopg.Connection, table: str) -> list[str]:
    asked = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
    return [name for (name,) in database.execute(asked, [table])]


def _forget(made: Prepared) -> None:
    with psycopg.connect(made.database_url) as database:
        database.execute("TRUNCATE jobs_job CASCADE")


if __name__ == "__main__":
    sys.exit(main())
