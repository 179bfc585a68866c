"""Windows on the wall clock: hours that fail and hours that come twice, in eight zones, against expectations by hand and a walk by minutes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.window import local_window
from tests.support.oracle.windows import window_of

Window = tuple[int, int]
WindowOf = Callable[[int, int, str], Window]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
PARTS_MS = (MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS)

DAYS = (  # zone, an instant of the day, its hours
    ("UTC", "2024-03-31T12:00+00:00", 24),
    ("Europe/Paris", "2024-07-01T12:00+02:00", 24),
    ("Europe/Paris", "2024-03-31T12:00+02:00", 23),
    ("Europe/Paris", "2024-10-27T12:00+01:00", 25),
    ("Asia/Kolkata", "2024-03-31T12:00+05:30", 24),
    ("Asia/Kathmandu", "2024-03-31T12:00+05:45", 24),
    ("Asia/Kathmandu", "1986-01-01T12:00+05:45", 23.75),  # the year began at a quarter past midnight
    ("Australia/Lord_Howe", "2024-10-06T12:00+11:00", 23.5),
    ("Australia/Lord_Howe", "2024-04-07T12:00+10:30", 24.5),
    ("Africa/Cairo", "2024-04-26T12:00+03:00", 23),  # from midnight
    ("Africa/Cairo", "2024-10-31T12:00+03:00", 25),  # at midnight, back into the day that ended
    ("America/Sao_Paulo", "2017-10-15T12:00-02:00", 23),
    ("America/Sao_Paulo", "2018-02-17T12:00-02:00", 25),
    ("America/Sao_Paulo", "2018-02-18T12:00-03:00", 24),
    ("America/St_Johns", "2024-03-10T12:00-02:30", 23),
    ("America/St_Johns", "2024-11-03T12:00-03:30", 25),
    ("America/St_Johns", "2010-03-14T12:00-02:30", 23),
    ("America/St_Johns", "2010-11-06T12:00-02:30", 25),  # a minute after midnight, back over it
    ("America/St_Johns", "2010-11-07T12:00-03:30", 24),
)
WINDOWS = (  # zone, size, an instant, its window
    ("UTC", MINUTE_MS, "2024-03-31T12:34:56+00:00", "2024-03-31T12:34+00:00", "2024-03-31T12:35+00:00"),
    ("Europe/Paris", HOUR_MS, "2024-03-31T01:59+01:00", "2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"),
    ("Europe/Paris", HOUR_MS, "2024-03-31T03:00+02:00", "2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00"),
    ("Europe/Paris", HOUR_MS, "2024-10-27T02:30+02:00", "2024-10-27T02:00+02:00", "2024-10-27T02:00+01:00"),
    ("Europe/Paris", HOUR_MS, "2024-10-27T02:30+01:00", "2024-10-27T02:00+01:00", "2024-10-27T03:00+01:00"),
    ("Europe/Paris", 15 * MINUTE_MS, "2024-10-27T02:50+02:00", "2024-10-27T02:45+02:00", "2024-10-27T02:00+01:00"),
    ("Europe/Paris", DAY_MS, "2024-10-27T02:30+01:00", "2024-10-27T00:00+02:00", "2024-10-28T00:00+01:00"),
    ("Asia/Kolkata", HOUR_MS, "2024-03-31T10:45+05:30", "2024-03-31T10:00+05:30", "2024-03-31T11:00+05:30"),
    ("Asia/Kolkata", DAY_MS, "2024-03-31T00:00+05:30", "2024-03-31T00:00+05:30", "2024-04-01T00:00+05:30"),
    ("Asia/Kathmandu", HOUR_MS, "2024-03-31T10:59+05:45", "2024-03-31T10:00+05:45", "2024-03-31T11:00+05:45"),
    ("Asia/Kathmandu", HOUR_MS, "1986-01-01T00:20+05:45", "1986-01-01T00:15+05:45", "1986-01-01T01:00+05:45"),
    ("Australia/Lord_Howe", HOUR_MS, "2024-04-07T01:45+11:00", "2024-04-07T01:00+11:00", "2024-04-07T01:30+10:30"),
    ("Australia/Lord_Howe", HOUR_MS, "2024-04-07T01:45+10:30", "2024-04-07T01:30+10:30", "2024-04-07T02:00+10:30"),
    ("Australia/Lord_Howe", HOUR_MS, "2024-10-06T02:45+11:00", "2024-10-06T02:30+11:00", "2024-10-06T03:00+11:00"),
    ("Africa/Cairo", DAY_MS, "2024-04-26T12:00+03:00", "2024-04-26T01:00+03:00", "2024-04-27T00:00+03:00"),
    ("Africa/Cairo", HOUR_MS, "2024-10-31T23:30+02:00", "2024-10-31T23:00+02:00", "2024-11-01T00:00+02:00"),
    ("America/Sao_Paulo", DAY_MS, "2017-10-15T01:00-02:00", "2017-10-15T01:00-02:00", "2017-10-16T00:00-02:00"),
    ("America/Sao_Paulo", DAY_MS, "2018-02-17T23:30-03:00", "2018-02-17T00:00-02:00", "2018-02-18T00:00-03:00"),
    ("America/Sao_Paulo", HOUR_MS, "2018-02-17T23:30-02:00", "2018-02-17T23:00-02:00", "2018-02-17T23:00-03:00"),
    ("America/Sao_Paulo", HOUR_MS, "2018-02-17T23:30-03:00", "2018-02-17T23:00-03:00", "2018-02-18T00:00-03:00"),
    ("America/St_Johns", HOUR_MS, "2024-11-03T01:10-03:30", "2024-11-03T01:00-03:30", "2024-11-03T02:00-03:30"),
    ("America/St_Johns", HOUR_MS, "2010-11-07T00:00:30-02:30", "2010-11-07T00:00-02:30", "2010-11-06T23:01-03:30"),
    ("America/St_Johns", DAY_MS, "2010-11-07T00:00:30-02:30", "2010-11-06T00:00-02:30", "2010-11-07T00:00-03:30"),
    ("America/St_Johns", DAY_MS, "2010-11-06T23:30-03:30", "2010-11-06T00:00-02:30", "2010-11-07T00:00-03:30"),
)
ZONES = sorted({zone for zone, _, _ in DAYS})


def of_core(at_ms: int, size_ms: int, zone: str) -> Window:
    window = local_window(at_ms, size_ms, zone)
    return window.start_ms, window.end_ms


both = pytest.mark.parametrize("window", [of_core, window_of], ids=["core", "oracle"])


def ms(told: str) -> int:
    return int(dt.datetime.fromisoformat(told).timestamp()) * 1000


def parts(window: WindowOf, size_ms: int, zone: str, whole: Window) -> Iterator[Window]:
    """The windows of a size from the begin of a longer one to its end, each where the one before ended."""
    at_ms, over_ms = whole
    while at_ms < over_ms:
        begin_ms, end_ms = window(at_ms, size_ms, zone)
        assert begin_ms == at_ms < end_ms
        yield begin_ms, end_ms
        at_ms = end_ms


@both
@pytest.mark.parametrize(("zone", "size_ms", "at", "begin", "end"), WINDOWS)
def test_an_instant_lies_in_this_window(window: WindowOf, zone: str, size_ms: int, at: str, begin: str, end: str) -> None:
    assert window(ms(at), size_ms, zone) == (ms(begin), ms(end))


@both
@pytest.mark.parametrize(("zone", "noon", "hours"), DAYS)
def test_a_day_has_its_hours_and_its_parts_sum_to_it(window: WindowOf, zone: str, noon: str, hours: float) -> None:
    day = window(ms(noon), DAY_MS, zone)
    assert day[1] - day[0] == hours * HOUR_MS
    for size_ms in PARTS_MS:
        found = list(parts(window, size_ms, zone, day))
        assert found[-1][1] == day[1]
        assert sum(end_ms - begin_ms for begin_ms, end_ms in found) == hours * HOUR_MS
        assert max(end_ms - begin_ms for begin_ms, end_ms in found) == size_ms


@both
@pytest.mark.parametrize(("zone", "noon"), [(zone, noon) for zone, noon, _ in DAYS])
def test_every_instant_of_three_days_lies_in_the_one_window_that_holds_it(window: WindowOf, zone: str, noon: str) -> None:
    begin_ms, end_ms = ms(noon) - 36 * HOUR_MS, ms(noon) + 36 * HOUR_MS
    for size_ms in (*PARTS_MS[1:], DAY_MS):
        for at_ms in range(begin_ms, end_ms, 7 * MINUTE_MS):
            found = window(at_ms, size_ms, zone)
            assert found[0] <= at_ms < found[1]
            assert {window(inside_ms, size_ms, zone) for inside_ms in (found[0], sum(found) // 2, found[1] - 1)} == {found}


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    day = of_core(ms("2024-10-27T12:00+01:00"), DAY_MS, "Europe/Paris")
    shown = [dt.datetime.fromtimestamp(begin_ms / 1000, tz=dt.UTC).hour for begin_ms, _ in parts(of_core, HOUR_MS, "Europe/Paris", day)]
    assert shown == [22, 23, *range(23)]


near_a_change = st.builds(lambda day, by_ms: (day[0], ms(day[1]) + by_ms), st.sampled_from(DAYS), st.integers(-30 * HOUR_MS, 30 * HOUR_MS))
at_any_time = st.tuples(st.sampled_from(ZONES), st.integers(ms("1970-01-03T00:00+00:00"), ms("2037-12-31T00:00+00:00")))


@given(where=near_a_change | at_any_time, size_ms=st.sampled_from((*PARTS_MS, DAY_MS)))
def test_the_core_finds_what_a_walk_along_the_clock_finds(where: tuple[str, int], size_ms: int) -> None:
    zone, at_ms = where
    assert of_core(at_ms, size_ms, zone) == window_of(at_ms, size_ms, zone)
