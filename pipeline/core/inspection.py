"""What can be read off the state and the rows without changing either: how much is open, and whether a tally balances."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pipeline.core.call import Call
from pipeline.core.model import LegTally, TallyRow
from pipeline.core.units import OUTCOMES, WORDS

LEG_PARTS = (*(f"legs_{word}" for word in WORDS.values()), "legs_pending")
CALL_PARTS = (*(f"calls_{outcome}" for outcome in OUTCOMES), "calls_pending")


class Open(NamedTuple):
    """Calls that are not complete, and when the oldest of them began."""

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
    """Return the earliest offer of its legs, which are not kept in any order."""
    return min([leg.last_ms if leg.offered_ms is None else leg.offered_ms for leg in call.legs.values()])


def imbalance(row: LegTally) -> int:
    """Return by how much what was offered differs from the outcomes and what is pending: 0, or a count is wrong."""
    off: int = abs(row.legs_offered - sum(getattr(row, column) for column in LEG_PARTS))
    if isinstance(row, TallyRow):
        off += abs(row.calls_offered - sum(getattr(row, column) for column in CALL_PARTS))
    return off
