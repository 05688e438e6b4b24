"""Workload -> `#SBATCH` lines."""

from __future__ import annotations

from dataclasses import replace

from sites.connectors.slurm.header import header
from sites.workload import Demand, Workload

COUNTED = {"--nodes", "--ntasks", "--cpus-per-task"}
PLAIN = Workload("ab12cd34", ".isthmus/jobs/ab12cd34", "research/train", ())


def options(workload: Workload, **site: object) -> dict[str, str]:
    lines = header(workload, **site)  # type: ignore[arg-type]
    assert all(line.startswith("#SBATCH --") for line in lines)
    return dict(line.removeprefix("#SBATCH ").partition("=")[::2] for line in lines)


def test_a_plain_pod_requests_one_task_and_keeps_its_environment_clean() -> None:
    assert options(PLAIN) == {
        "--job-name": "isthmus-ab12cd34",
        "--comment": "research/train",
        "--export": "NONE",
        "--output": "batch.out",
        "--open-mode": "append",
        "--no-requeue": "",
        "--nodes": "1",
        "--ntasks": "1",
        "--cpus-per-task": "1",
    }


def test_a_demand_becomes_options() -> None:
    demand = Demand(
        nodes=2,
        tasks=4,
        cpus_per_task=8,
        memory_per_node=1_500_000_000,
        gpus_per_node={"A100": 2},
        time_limit=3600,
        partition="gpu",
        qos="high",
    )
    asked = options(replace(PLAIN, demand=demand, native={"gres": "fpga:1"}))
    assert {name: value for name, value in asked.items() if name not in options(PLAIN) or name in COUNTED} == {
        "--nodes": "2",
        "--ntasks": "4",
        "--cpus-per-task": "8",
        "--mem": "1431M",
        "--gres": "gpu:A100:2,fpga:1",
        "--time": "60",
        "--partition": "gpu",
        "--qos": "high",
    }


def test_gpus_of_any_kind_are_requested_by_number() -> None:
    assert options(replace(PLAIN, demand=Demand(gpus_per_node={"": 2})))["--gres"] == "gpu:2"


def test_time_limits_are_rounded_up() -> None:
    assert options(replace(PLAIN, demand=Demand(time_limit=1)))["--time"] == "1"
    assert options(replace(PLAIN, demand=Demand(time_limit=61)))["--time"] == "2"


def test_a_comment_cannot_end_its_line_or_start_another_option() -> None:
    line = options(replace(PLAIN, native={"job-name": 'my job" --wrap=\n#SBATCH --uid=0'}))["--comment"]
    assert line == "my_job__--wrap___SBATCH_--uid_0"


def test_the_operators_options_come_first_so_that_ours_win() -> None:
    lines = header(PLAIN, extra=["--account=project", "--export=ALL"], requeue=True)
    assert lines[:2] == ["#SBATCH --account=project", "#SBATCH --export=ALL"]
    assert lines.index("#SBATCH --export=NONE") > 1
    assert "#SBATCH --requeue" in lines
