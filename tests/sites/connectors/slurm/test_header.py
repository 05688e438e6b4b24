"""Workload -> `#SBATCH` lines."""

from __future__ import annotations

from dataclasses import replace

from sites.connectors.slurm.header import header
from sites.workload import NativeFlags, Resources, Workload

PLAIN = Workload("ab12cd34", ".isthmus/jobs/ab12cd34", "research/train", ())


def options(workload: Workload, **site: object) -> dict[str, str]:
    lines = header(workload, **site)  # type: ignore[arg-type]
    assert all(line.startswith("#SBATCH --") for line in lines)
    return dict(line.removeprefix("#SBATCH ").partition("=")[::2] for line in lines)


def test_a_plain_pod_asks_for_one_task_and_keeps_its_environment_clean() -> None:
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


def test_resources_become_options() -> None:
    asked = options(replace(PLAIN, resources=Resources(cpus=8, memory=1_500_000_000, gpus=2, gpu_kind="a100")))
    assert (asked["--cpus-per-task"], asked["--mem"], asked["--gres"]) == ("8", "1431M", "gpu:a100:2")


def test_time_limits_are_rounded_up_and_the_smaller_wins() -> None:
    assert options(replace(PLAIN, time_limit=1))["--time"] == "1"
    assert options(replace(PLAIN, time_limit=61))["--time"] == "2"
    assert options(replace(PLAIN, time_limit=7200, flags=NativeFlags(time_limit=3600)))["--time"] == "60"


def test_native_flags_win_over_what_follows_from_resources() -> None:
    flags = NativeFlags(partition="gpu", nodes=2, ntasks=4, memory=2**30, gres="gpu:v100:1")
    wishes = Resources(cpus=8, memory=2**40, gpus=2)
    asked = options(replace(PLAIN, flags=flags, resources=wishes), partition="debug")
    assert "--cpus-per-task" not in asked
    assert {name: asked[name] for name in ("--partition", "--nodes", "--ntasks", "--mem", "--gres")} == {
        "--partition": "gpu",
        "--nodes": "2",
        "--ntasks": "4",
        "--mem": "1024M",
        "--gres": "gpu:v100:1",
    }


def test_a_comment_holds_nothing_that_could_end_its_line_or_start_another_option() -> None:
    line = options(replace(PLAIN, flags=NativeFlags(comment='my job" --wrap=\n#SBATCH --uid=0')))["--comment"]
    assert line == "my_job__--wrap___SBATCH_--uid_0"


def test_the_operators_options_come_first_so_that_ours_stand() -> None:
    lines = header(PLAIN, extra=["--account=project", "--export=ALL"], requeue=True)
    assert lines[:2] == ["#SBATCH --account=project", "#SBATCH --export=ALL"]
    assert lines.index("#SBATCH --export=NONE") > 1
    assert "#SBATCH --requeue" in lines
