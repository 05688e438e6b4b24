"""What Slurm's commands print, as recorded from 22.05 and as documented for other versions."""

from __future__ import annotations

import pytest

from sites.connectors.slurm.output import (
    Row,
    accounting_rows,
    exit_codes,
    exit_of,
    partition_reports,
    queue_rows,
    time_in_seconds,
)

FAILED = "7|FAILED|1795477799|1795477801|1|1|gres:gpu:a100:2|NonZeroExitCode|isthmus-abc"
SCONTROL = (
    "JobId=7 JobName=isthmus-abc UserId=hpcuser(1001) GroupId=hpcuser(1001) JobState=FAILED Reason=NonZeroExitCode "
    "Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=3:0 RunTime=00:00:02 TimeLimit=00:01:00"
)


def test_a_queue_line_is_parsed() -> None:
    assert list(queue_rows([FAILED])) == [
        Row("7", "isthmus-abc", "FAILED", "1795477799", "1795477801", 1, 1, 2, "NonZeroExitCode")
    ]


@pytest.mark.parametrize(
    ("gres", "nodes", "gpus"),
    [
        ("N/A", "1", 0),
        ("(null)", "1", 0),
        ("gres:gpu", "1", 1),
        ("gres:gpu:3", "2", 6),
        ("gres/gpu=2", "1", 2),
        ("gres/gpu:h100=2", "3", 6),
        ("gres:gpu:a100:1,gres:gpu:v100:2", "1", 3),
        ("gres:license:9", "1", 0),
    ],
)
def test_gpus_of_all_nodes_are_counted(gres: str, nodes: str, gpus: int) -> None:
    (row,) = queue_rows([f"7|RUNNING|1|N/A|{nodes}|1|{gres}|None|isthmus-abc"])
    assert row.gpus == gpus


def test_lines_of_another_form_are_ignored() -> None:
    assert list(queue_rows(["", "slurm_load_jobs: warning", "1|2|3"])) == []
    assert list(accounting_rows(["", "sacct: warning | something"])) == []


def test_an_accounting_line_is_parsed() -> None:
    tres = "billing=8,cpu=8,gres/gpu:a100=4,gres/gpu=4,node=2"
    line = f"18|CANCELLED by 1000|0:15|1795478094|1795478096|2|8|{tres}|isthmus-abc"
    expected = Row("18", "isthmus-abc", "CANCELLED", "1795478094", "1795478096", 2, 8, 4, exit_code=128 + 15, by="1000")
    assert list(accounting_rows([line])) == [expected]


def test_exit_codes_are_converted_as_a_shell_does() -> None:
    assert exit_codes([SCONTROL, ""]) == {"7": 3}
    assert [exit_of(text) for text in ("0:0", "3:0", "0:9", "", "x:y")] == [0, 3, 137, None, None]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1:00:00", 3600), ("30:00", 1800), ("5", 300), ("2-00:00:00", 172_800), ("1-12", 129_600), ("infinite", None)],
)
def test_time_limits_are_parsed_in_all_forms(limit: str, expected: int | None) -> None:
    assert time_in_seconds(limit) == expected


def test_partitions_are_added_up_over_their_kinds_of_nodes() -> None:
    lines = [
        "debug|debug*|up|1:00:00|4|64|256000|gpu:a100:4(S:0-1)",
        "debug|debug*|up|1:00:00|2|128+|512000+|(null)",
        "closed|closed|down|infinite|1|64|1000|gpu:2,gpu:h100:1",
    ]
    debug, closed = partition_reports(lines)
    assert (debug.nodes, debug.cpus, debug.memory) == (6, 4 * 64 + 2 * 128, (4 * 256000 + 2 * 512000) * 1024 * 1024)
    assert (debug.gpus, debug.time_limit, debug.default, debug.up) == ((("a100", 16),), 3600, True, True)
    assert (closed.gpus, closed.time_limit, closed.default, closed.up) == ((("", 2), ("h100", 1)), None, False, False)
