"""What can be read off the state and the rows without changing either: how much is open, and whether a tally balances."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pipeline.core.call import Call
from pipeline.core.model import Counts


class Open(NamedTuple):
    """Calls that are not complete, and when the oldest of them began (its first leg's offer)."""

    calls: int
    oldest_ms: int | None


def open_calls(calls: Iterable[Call]) -> Open:
    """Count the open ones."""
    count, oldest_ms = 0, None
    for call in calls:
        if is_open(call):
            count += 1
            began_ms = began(call)
            if oldest_ms is None or began_ms < oldest_ms:
                oldest_ms = began_ms
    return Open(count, oldest_ms)


def is_open(call: Call) -> bool:
    """Tell whether a key is a call whose last word is not said. A key that only passes facts on is none."""
    row = call.row
    if row is not None and row.said:
        return not (row.final or call.is_signpost)
    for leg in call.legs.values():
        if leg.end is None and leg.is_real:
            return not call.is_signpost
    return False


def began(call: Call) -> int:
    first = next(iter(call.legs.values()))
    return first.last_ms if first.offered_ms is None else first.offered_ms


def imbalance(row: Counts) -> int:
    """Return by how much what was offered differs from the results and what is pending: 0, or a count is wrong."""
    legs = row.legs_answered + row.legs_lose_race + row.legs_busy + row.legs_cancel + row.legs_failed + row.legs_timeout + row.legs_pending
    calls = (
        row.calls_answered + row.calls_lose_race + row.calls_busy + row.calls_cancel + row.calls_failed + row.calls_timeout
        + row.calls_pending
    )  # fmt: skip
    return abs(row.legs_offered - legs) + abs(row.calls_offered - calls)
