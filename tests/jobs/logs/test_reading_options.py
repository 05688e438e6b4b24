from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.errors import BadRequest
from jobs.logs import LogOptions, parse_options

NOW = datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)
EPOCH = 1_769_860_800
UNSET = {
    "Tail": 0,
    "Bytes": 0,
    "Timestamps": False,
    "Follow": False,
    "Previous": False,
    "SinceSeconds": 0,
    "SinceTime": "0001-01-01T00:00:00Z",
}


@pytest.mark.parametrize("opts", [None, {}, UNSET, dict.fromkeys(UNSET), {"SinceTime": ""}])
def test_without_options_the_whole_log_is_requested(opts: object) -> None:
    assert parse_options(opts, now=NOW) == LogOptions()


def test_every_option_is_understood() -> None:
    opts = {"Tail": 3, "Timestamps": True, "Follow": True, "SinceSeconds": 60}
    assert parse_options(opts, now=NOW) == LogOptions(tail=3, timestamps=True, follow=True, since=EPOCH - 60)
    assert parse_options({"Bytes": 10}, now=NOW) == LogOptions(limit=10)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2026-01-31T11:59:00Z", EPOCH - 60),
        ("2026-01-31T12:59:00+01:00", EPOCH - 60),
        ("2026-01-31T11:58:59.999999999Z", EPOCH - 61),
        ("2031-01-01T00:00:00Z", EPOCH),
        ("0001-01-01T00:00:00+05:00", -62_135_614_800),
    ],
)
def test_a_time_is_rounded_to_seconds_and_cannot_be_in_the_future(text: str, since: int) -> None:
    assert parse_options({"SinceTime": text}, now=NOW).since == since


@pytest.mark.parametrize(
    ("opts", "named"),
    [
        ({"Tail": 1, "Bytes": 1}, "Tail or Bytes"),
        ({"SinceSeconds": 1, "SinceTime": "2026-01-31T11:59:00Z"}, "SinceSeconds or SinceTime"),
        ({"Tail": -1}, "Tail"),
        ({"Bytes": -1}, "Bytes"),
        ({"SinceSeconds": -1}, "SinceSeconds"),
        ({"Tail": "3"}, "Tail"),
        ({"Tail": 1.5}, "Tail"),
        ({"Tail": True}, "Tail"),
        ({"Follow": "yes"}, "Follow"),
        ({"Timestamps": 1}, "Timestamps"),
        ({"SinceTime": "yesterday"}, "SinceTime"),
        ({"SinceTime": "2026-01-31T11:59:00"}, "SinceTime"),
        ({"SinceTime": 5}, "SinceTime"),
        ({"Previous": True}, "previous"),
        ([], "Opts"),
    ],
)
def test_invalid_options_are_named_in_a_sentence(opts: object, named: str) -> None:
    with pytest.raises(BadRequest, match=named) as refusal:
        parse_options(opts, now=NOW)
    assert refusal.value.message.endswith(".")
