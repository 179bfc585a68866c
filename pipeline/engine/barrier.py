"""Where the partitions of one stage that were assigned together wait for each other."""

from __future__ import annotations

import asyncio


class Barrier:
    """Opens when `parties` have arrived, or when one of them gives up."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._open = asyncio.Event()

    def arrive(self) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self._open.set()

    def give_up(self) -> None:
        """A party is being closed: the others, which are being closed too, must not wait for it."""
        self._open.set()

    async def wait(self) -> None:
        await self._open.wait()
