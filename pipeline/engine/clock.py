"""The one place in the repository that reads a clock. Decisions get their time as an argument."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Wall clock, ms since 1970 UTC: the time of a tick."""
    return time.time_ns() // 1_000_000


def elapsed_s() -> float:
    """A clock that never goes back, for durations and deadlines only."""
    return time.monotonic()
