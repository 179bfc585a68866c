"""The chunks that wait for one partition's next transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pipeline.engine import clock
from pipeline.engine.records import Chunk, continued, joined


class ChunkQueue:
    """Holds the source above two chunks of records and releases it below one, so that no partition blocks another."""

    def __init__(self, size: int, *, hold: Callable[[], None], release: Callable[[], None]) -> None:
        self.records = 0
        self.since_s = 0.0  # when the first of what waits came
        self._size = size
        self._hold = hold
        self._release = release
        self._held = False
        self._chunks: deque[Chunk] = deque()
        self._woken = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    @property
    def full(self) -> bool:
        """Enough for a whole transaction."""
        return self.records >= self._size

    @property
    def first_ms(self) -> int | None:
        """When the broker got the oldest record that waits."""
        return next((chunk.records[0].timestamp for chunk in self._chunks if chunk.records), None)

    def put(self, chunk: Chunk) -> None:
        if not self._chunks:
            self.since_s = clock.elapsed_s()
        self._chunks.append(chunk)
        self.records += len(chunk.records)
        if self.records >= 2 * self._size and not self._held:
            self._held = True
            self._hold()
        self._woken.set()

    def take(self, position: int) -> Chunk | None:
        """Everything from `position` on that goes into one transaction; None if nothing is new. Raises GapError."""
        taken: Chunk | None = None
        while self._chunks and (taken is None or len(taken.records) + len(self._chunks[0].records) <= self._size):
            fresh = self._pop(position if taken is None else taken.end)
            if fresh is not None:
                taken = fresh if taken is None else joined(taken, fresh)
        if self._held and self.records < self._size:
            self._held = False
            self._release()
        return taken

    def _pop(self, position: int) -> Chunk | None:
        chunk = self._chunks.popleft()
        self.records -= len(chunk.records)
        return continued(chunk, position)

    def clear(self) -> None:
        """Drop what waits (it is not committed, the next owner reads it) and wake the waiter."""
        self._chunks.clear()
        self.records = 0
        self._woken.set()

    async def news(self, until_s: float) -> None:
        """Return when something was put or cleared, or at `until_s` at the latest."""
        self._woken.clear()
        try:
            async with asyncio.timeout(max(0.0, until_s - clock.elapsed_s())):
                await self._woken.wait()
        except TimeoutError:
            pass
