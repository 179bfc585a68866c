"""Windows on the wall clock of a time zone, found by walking along it: nothing is reckoned, every minute is asked what the clock shows."""

from __future__ import annotations

import bisect
import datetime as dt
import functools
import itertools
import math
from collections.abc import Hashable, Sequence
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
DAY_MS = 86_400_000
MARGIN_MS = 27 * 3_600_000  # more than the longest day: what contains an instant of a day of UTC begins and ends within


def window_of(at_ms: int, size_ms: int, zone: str) -> tuple[int, int]:
    """The begin and the end, exclusive, of the window in which this instant lies. Sizes are whole days' parts, or the day."""
    begins = _begins(at_ms // DAY_MS, size_ms, zone)
    number = bisect.bisect_right(begins, at_ms)
    return begins[number - 1], begins[number]


@functools.lru_cache(maxsize=4_096)
def _begins(day: int, size_ms: int, zone: str) -> list[int]:
    """Every begin of a window near this day of UTC. Offsets are whole minutes, so nothing begins between the steps."""
    step_ms = math.gcd(size_ms, MINUTE_MS)
    steps = range(day * DAY_MS - MARGIN_MS, (day + 1) * DAY_MS + MARGIN_MS, step_ms)
    labels = _dates(steps, ZoneInfo(zone)) if size_ms == DAY_MS else [_label(at_ms, size_ms, ZoneInfo(zone)) for at_ms in steps]
    return [at_ms for at_ms, label, before in zip(steps[1:], labels[1:], labels, strict=False) if label != before]


def _dates(steps: Sequence[int], zone: ZoneInfo) -> Sequence[Hashable]:
    """The date at each step. A clock that is set back over midnight shows a date twice; it lasts until it is shown for the last time."""
    shown = [_local(at_ms, zone).date() for at_ms in steps]
    return list(itertools.accumulate(reversed(shown), min))[::-1]


def _label(at_ms: int, size_ms: int, zone: ZoneInfo) -> Hashable:
    """What is the same all through a window of less than a day: with the offset in it, so that what comes twice is two windows."""
    local = _local(at_ms, zone)
    since_midnight_ms = ((local.hour * 60 + local.minute) * 60 + local.second) * 1000
    return local.date(), local.utcoffset(), since_midnight_ms // size_ms


def _local(at_ms: int, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, tz=zone)
