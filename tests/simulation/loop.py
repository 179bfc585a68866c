"""An event loop whose clock is a number: where asyncio would wait, time is put on. The same tasks take the same turns, in no time."""

from __future__ import annotations

import asyncio
from typing import Any

MOST_TURNS = 200_000
"""Of one simulation. One that takes more goes round in circles."""


class StandstillError(Exception):
    """Nothing will ever happen again, or no end is in sight: a task waits for what nobody does, or works for nothing."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Seconds since the loop was made. No sockets, no threads, no signals."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._turns = 0
        self._clock_resolution = 1e-7
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """What `asyncio` calls when it has to wait."""
        self._turns += 1
        if timeout is None or self._turns > MOST_TURNS:
            raise StandstillError(f"at {self._now_s:.3f} s, after {self._turns} turns")
        self._now_s += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No thread to wake."""
