"""Windows of event time."""

from __future__ import annotations

import msgspec


class Window(msgspec.Struct, frozen=True, order=True):
    """A half-open interval of event time, [start_ms, end_ms)."""

    start_ms: int
    end_ms: int


def window_of(at_ms: int, *, size_ms: int) -> Window:
    """Return the window of this size that holds this moment; windows are aligned to 1970 UTC."""
    start_ms = at_ms - at_ms % size_ms
    return Window(start_ms, start_ms + size_ms)
