"""The annotation slurm-job.vk.io/flags: what is accepted; everything else is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import Refused
from sites.manifest.flags import NativeFlags, parse_flags, parse_time


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 1800),
        ("5:30", 330),
        ("1:00:00", 3600),
        ("100:00:00", 360_000),
        ("2-12", 216_000),
        ("2-12:30", 217_800),
        ("1-00:00:05", 86_405),
        ("0", None),
        ("0:00", None),
        ("UNLIMITED", None),
        ("1:2:3:4", None),
        ("1::2", None),
        (":5", None),
        ("-5", None),
        ("", None),
        ("10s", None),
    ],
)
def test_every_way_slurm_writes_a_time_is_read(written: str, seconds: int | None) -> None:
    assert parse_time(written) == seconds


@pytest.mark.parametrize(
    "annotation",
    [
        "--time=10 --partition=debug",
        "--time 10 --partition debug",
        "-t10 -pdebug",
        "-t 10 -p debug",
        "-t '10' -p\tdebug\n",
    ],
)
def test_every_way_to_write_an_option_means_the_same(annotation: str) -> None:
    assert parse_flags(annotation) == NativeFlags(time_limit=600, partition="debug")


def test_all_options_together() -> None:
    flags = "--nodes=2 -n 8 --cpus-per-task=4 --mem=3G --gres=gpu:a100:2,shard:1 -J 'my run' -p a,b"
    assert parse_flags(flags) == NativeFlags(
        nodes=2,
        ntasks=8,
        cpus_per_task=4,
        memory=3 * 1024**3,
        gres="gpu:a100:2,shard:1",
        comment="my run",
        partition="a,b",
    )


@pytest.mark.parametrize(
    ("written", "size"), [("5", 5 << 20), ("5K", 5 << 10), ("5m", 5 << 20), ("5GB", 5 << 30), ("1T", 1 << 40)]
)
def test_memory_is_in_mebibytes_unless_it_says_otherwise(written: str, size: int) -> None:
    assert parse_flags(f"--mem={written}").memory == size


def test_if_an_option_is_given_twice_the_last_one_counts() -> None:
    assert parse_flags("-p one --partition=two").partition == "two"


def test_no_annotation_means_no_flags() -> None:
    assert parse_flags(" ") == NativeFlags()


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        ("--exclusive", "The option --exclusive of slurm-job.vk.io/flags is not allowed at this site."),
        ("--part=debug", "The option --part of"),
        ("-A account", "The option -A of"),
        ("--wrap='rm -rf /'", "The option --wrap of"),
        ("debug", "The option de of"),
        ("--time", "The option --time of slurm-job.vk.io/flags has no value."),
        ("-t", "The option -t of slurm-job.vk.io/flags has no value."),
        ("--time=soon", 'The value "soon" of --time'),
        ("--time=", 'The value "" of --time'),
        ("--nodes=2-4", 'The value "2-4" of --nodes'),
        ("--nodes=0", 'The value "0" of --nodes'),
        ("--mem=0", 'The value "0" of --mem'),
        ("--gres='gpu:1\n#SBATCH --uid=0'", 'The value "gpu:1'),
        ("--partition='a b'", 'The value "a b" of --partition'),
        ("-J 'a\nb'", 'The value "a'),
        ("--job-name=$(id)", 'The value "$(id)" of --job-name'),
        ("--time='1", "The annotation slurm-job.vk.io/flags has a quote that is never closed."),
    ],
)
def test_everything_else_is_refused_by_name(annotation: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_flags(annotation)
    assert refused.value.message.startswith(sentence)


@given(st.text())
def test_no_text_becomes_more_than_plain_values(annotation: str) -> None:
    try:
        flags = parse_flags(annotation)
    except Refused:
        return
    words = [value for value in (flags.partition, flags.gres, flags.comment) if value is not None]
    assert all(word.isprintable() and word.isascii() and not set(word) & set("'\"`$\\\n;&|<>") for word in words)


@given(st.sampled_from(["-p", "-J", "--gres", "-t", "--mem", "-N"]), st.text(min_size=1))
def test_no_value_can_end_its_line_or_quote(option: str, value: str) -> None:
    quoted = "'" + value.replace("'", "'\"'\"'") + "'"
    try:
        flags = parse_flags(f"{option} {quoted}")
    except Refused:
        return
    words = [word for word in (flags.partition, flags.gres, flags.comment) if word is not None]
    assert not any(set(word) & set("'\"`$\\\n\r;&|<>") for word in words)
