"""Windows of event time on the wall clock of a time zone.

A window of a day is a local date: 23 or 25 hours where the clock changes. A smaller one is a stretch of a local day that no clock change
cuts: an hour that comes twice is two windows, and one in which the clock is set forward is shorter.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from math import gcd
from zoneinfo import ZoneInfo

import msgspec

DAY_MS = 86_400_000
GRAIN_MS = 900_000
"""Clocks differ by multiples of this and change at multiples of it."""
NOON = time(12)


class Window(msgspec.Struct, frozen=True, order=True):
    """A half-open interval of event time, [start_ms, end_ms)."""

    start_ms: int
    end_ms: int


def window_of(at_ms: int, *, size_ms: int) -> Window:
    """Return the window of this size that holds this moment; windows are aligned to 1970 UTC."""
    start_ms = at_ms - at_ms % size_ms
    return Window(start_ms, start_ms + size_ms)


def base_ms(sizes_ms: tuple[int, ...]) -> int:
    """Return the size of the pieces that windows of all these sizes are made of, in every time zone."""
    return gcd(GRAIN_MS, *sizes_ms)


@lru_cache(maxsize=65_536)
def local_window(at_ms: int, size_ms: int, zone: str) -> Window:
    """Return the window of this size that holds this moment on the wall clock of a time zone. `size_ms` divides a day."""
    if zone == "UTC":
        return window_of(at_ms, size_ms=size_ms)
    return _local_date(at_ms, zone) if size_ms == DAY_MS else _local_part(at_ms, size_ms, zone)


@lru_cache(maxsize=65_536)
def offset_ms(at_ms: int, zone: str) -> int:
    """Return local time minus UTC at a moment, ms."""
    return round(_local(at_ms, zone).utcoffset().total_seconds() * 1000)  # type: ignore[union-attr] # it has a zone


def local_start(at_ms: int, zone: str) -> str:
    """Return a moment as the wall clock shows it, YYYY-MM-DDTHH:MM:SS."""
    return _local(at_ms, zone).strftime("%Y-%m-%dT%H:%M:%S")


def _local(at_ms: int, zone: str) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))


def _local_part(at_ms: int, size_ms: int, zone: str) -> Window:
    offset = offset_ms(at_ms, zone)
    local_ms = at_ms + offset
    start_ms = local_ms - local_ms % size_ms - offset
    last_ms = start_ms + size_ms - 1
    return Window(_edge_ms(at_ms, start_ms, offset, zone), _edge_ms(at_ms, last_ms, offset, zone) + 1)


def _edge_ms(inside_ms: int, towards_ms: int, offset: int, zone: str) -> int:
    """Return how far the clock shows the same offset, from a moment inside towards another one that it may not reach."""
    if offset_ms(towards_ms, zone) == offset:
        return towards_ms
    while abs(towards_ms - inside_ms) > 1:
        middle_ms = (inside_ms + towards_ms) // 2
        if offset_ms(middle_ms, zone) == offset:
            inside_ms = middle_ms
        else:
            towards_ms = middle_ms
    return inside_ms


def _local_date(at_ms: int, zone: str) -> Window:
    day = _date(at_ms, zone)
    start_ms = _midnight_ms(day, zone)
    if start_ms > at_ms:  # the clock is set back past midnight once more
        day -= timedelta(days=1)
        start_ms = _midnight_ms(day, zone)
    return Window(start_ms, _midnight_ms(day + timedelta(days=1), zone))


def _midnight_ms(day: date, zone: str) -> int:
    """Return since when it is this day for good, or a later one."""
    noon_ms = round(datetime.combine(day, NOON, ZoneInfo(zone)).timestamp() * 1000)
    at_ms = noon_ms - noon_ms % GRAIN_MS
    while _date(at_ms - 1, zone) >= day:
        at_ms -= GRAIN_MS
    return at_ms


def _date(at_ms: int, zone: str) -> date:
    return _local(at_ms, zone).date()
