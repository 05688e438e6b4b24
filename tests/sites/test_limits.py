"""Limits, budgets and periods, without jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sites import limits
from sites.limits import Ask
from sites.models import Allocation

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)


def allocation(**fields: Any) -> Allocation:
    return Allocation(**{"valid_from": datetime(2026, 1, 1, tzinfo=UTC), **fields})


@pytest.mark.parametrize(
    ("period", "now", "begin", "end"),
    [
        ("month", NOW, "2026-11-01", "2026-12-01"),
        ("month", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "2026-12-01", "2027-01-01"),
        ("quarter", NOW, "2026-10-01", "2027-01-01"),
        ("quarter", datetime(2026, 6, 30, tzinfo=UTC), "2026-04-01", "2026-07-01"),
        ("year", NOW, "2026-01-01", "2027-01-01"),
    ],
)
def test_periods_follow_the_calendar_in_utc(period: str, now: datetime, begin: str, end: str) -> None:
    found = limits.period(allocation(period=period), now=now)
    assert found == tuple(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (begin, end))


def test_a_budget_for_the_whole_validity_never_renews() -> None:
    began, until = datetime(2026, 3, 5, tzinfo=UTC), datetime(2027, 3, 5, tzinfo=UTC)
    assert limits.period(allocation(period="whole", valid_from=began, valid_until=until), now=NOW) == (began, until)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.sampled_from(["month", "quarter", "year"]))  # noqa: DTZ001
def test_every_moment_is_in_its_period(moment: datetime, period: str) -> None:
    now = moment.replace(tzinfo=UTC)
    begin, end = limits.period(allocation(period=period), now=now)
    assert end is not None
    assert begin <= now < end
    assert limits.period(allocation(period=period), now=end)[0] == end


@pytest.mark.parametrize(
    ("terms", "ask", "limit"),
    [
        ({"pods": 0}, Ask(), "pods"),
        ({"cpus": 7}, Ask(cpus=8), "cpus"),
        ({"memory": 2**30}, Ask(memory=2**31), "memory"),
        ({"gpus": {"a100": 1}}, Ask(gpus={"a100": 2}), "gpus a100"),
        ({"gpus": {"": 3}}, Ask(gpus={"a100": 4}), "gpus"),
        ({"gpus": {"": 3}}, Ask(gpus={"": 4}), "gpus"),
        ({"gpus": {"a100": 2, "v100": 1}}, Ask(gpus={"": 4}), "gpus"),
        ({"cpu_hours": 7}, Ask(cpu_seconds=7 * 3600 + 1), "cpu_seconds"),
        ({"gpu_hours": 0}, Ask(gpu_seconds=1), "gpu_seconds"),
    ],
)
def test_each_limit_is_enforced(terms: dict[str, Any], ask: Ask, limit: str) -> None:
    short = limits.never_fits(limits.allowed(allocation(**terms)), ask)
    assert short is not None
    assert short.limit == limit


@pytest.mark.parametrize(
    ("terms", "ask"),
    [
        ({}, Ask(cpus=10**6, memory=2**60, gpus={"a100": 10**6}, cpu_seconds=2**50)),
        ({"gpus": {"a100": 0}}, Ask(gpus={"v100": 4})),
        ({"gpus": {"a100": 2, "v100": 2}}, Ask(gpus={"": 4})),
        ({"gpus": {"a100": 2, "": 8}}, Ask(gpus={"": 4})),
        ({"memory": 0}, Ask(memory=0)),
        ({"cpu_hours": 1}, Ask(cpu_seconds=3600)),
    ],
)
def test_an_unlimited_or_just_fitting_demand_passes(terms: dict[str, Any], ask: Ask) -> None:
    assert limits.never_fits(limits.allowed(allocation(**terms)), ask) is None


def test_a_lowered_limit_stops_only_pods_that_need_it() -> None:
    allowed = limits.allowed(allocation(gpus={"": 1}))
    used = {"gpus": 5}
    assert limits.shortfall(allowed, used, Ask()) is None
    assert limits.shortfall(allowed, used, Ask(gpus={"": 1})) is not None


def test_gpus_of_no_named_kind_cannot_exceed_the_limits_of_kinds() -> None:
    allowed = limits.allowed(allocation(gpus={"a100": 2, "v100": 1}))
    used = {"gpus": 7, "gpus a100": 1, "gpus h100": 5}  # and one of an unknown kind
    for ask in (Ask(gpus={"": 2}), Ask(gpus={"v100": 1, "": 1})):
        short = limits.shortfall(allowed, used, ask)
        assert short is not None
        assert (short.limit, short.used, short.requested, short.allowed) == ("gpus", 2, 2, 3)
    for ask in (Ask(gpus={"": 1}), Ask(gpus={"a100": 1}), Ask(gpus={"h100": 9}), Ask()):
        assert limits.shortfall(allowed, used, ask) is None


def test_after_its_period_a_budget_is_whole_again() -> None:
    spent = allocation(spent_cpu_seconds=50, reserved_cpu_seconds=7, period_began=datetime(2026, 10, 1, tzinfo=UTC))
    assert limits.used(spent, now=NOW)["cpu_seconds"] == 7
    assert limits.used(spent, now=datetime(2026, 10, 9, tzinfo=UTC))["cpu_seconds"] == 57


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"enabled": False}, "AllocationRevoked", "revoked"),
        ({"valid_until": NOW}, "AllocationExpired", "expired on 2026-11-25; a manager of Alpha can ask"),
        ({"valid_from": NOW + timedelta(days=1)}, "AllocationNotYetValid", "begins at 2026-11-26 12:30 UTC"),
    ],
)
def test_a_closed_allocation_gives_the_reason(fields: dict[str, Any], reason: str, words: str) -> None:
    waits = limits.not_valid(allocation(**fields), tenant="Alpha", site="Vega", now=NOW)
    assert waits is not None
    assert waits.reason == reason
    assert words in waits.message


def test_without_an_allocation_the_sentence_says_how_to_get_one() -> None:
    waits = limits.not_valid(None, tenant="Alpha", site="Vega", now=NOW)
    assert waits is not None
    assert (waits.reason, "can ask for one" in waits.message) == ("NoAllocation", True)


def test_a_sentence_names_limit_use_demand_and_when_it_frees() -> None:
    limited = allocation(pods=12)
    short = limits.shortfall(limits.allowed(limited), {"pods": 12}, Ask())
    assert short is not None
    frees = limits.frees(short, limited, running=12, first_end=NOW + timedelta(hours=2), now=NOW)
    assert limits.sentence(short, tenant="Alpha", site="Vega", frees=frees) == (
        "Alpha uses 12 of 12 pods at Vega, and the pod asks for 1. "
        "The first of the 12 running pods ends at 2026-11-25 14:30 UTC at the latest."
    )


def test_a_budget_says_when_it_renews() -> None:
    limited = allocation(cpu_hours=10, period="month")
    short = limits.shortfall(limits.allowed(limited), {"cpu_seconds": 9 * 3600}, Ask(cpu_seconds=5400))
    assert short is not None
    frees = limits.frees(short, limited, running=0, first_end=None, now=NOW)
    told = limits.sentence(short, tenant="Alpha", site="Vega", frees=frees)
    assert told.startswith("Alpha has spent or reserved 9 of 10 CPU-hours at Vega, and the pod asks for 1.5")
    assert "The budget renews on 2026-12-01" in told
