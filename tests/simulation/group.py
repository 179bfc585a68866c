"""The consumer group: who is in it, and who reads what. Eager, as Faust's: everybody gives up all, then everybody gets some."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Protocol

from tests.simulation.log import Place

REBALANCE_TIMEOUT_S = 20.0
SESSION_TIMEOUT_S = 10.0
STICKINESS = 0.7
"""So likely a partition stays with who had it: state may be kept then."""


class Member(Protocol):
    """One process. The group sets `rejoin`; the member then gives up its partitions and joins again."""

    rejoin: asyncio.Event


class Group:
    def __init__(self, places: Sequence[Place], chance: Random) -> None:
        self.generation = 0
        self.rebalances = 0
        self._places = places
        self._chance = chance
        self._members: list[Member] = []
        self._joined: dict[Member, asyncio.Future[tuple[list[Place], int] | None]] = {}
        self._owner: dict[Place, Member] = {}
        self._is_rebalancing = False

    def __contains__(self, member: Member) -> bool:
        return member in self._members

    async def join(self, member: Member) -> tuple[list[Place], int] | None:
        """Return the partitions and the generation, once everybody has joined or is given up; None: this member is."""
        member.rejoin.clear()
        assigned: asyncio.Future[tuple[list[Place], int] | None] = asyncio.get_running_loop().create_future()
        self._joined[member] = assigned
        if member not in self._members:
            self._members.append(member)
        if not self._is_rebalancing:
            self.shake()
        self._see_whether_all_are_here()
        return await assigned

    def leave(self, member: Member) -> None:
        """The member goes, or was silent for too long."""
        if member in self._members:
            self._members.remove(member)
            if (waiting := self._joined.pop(member, None)) is not None and not waiting.done():
                waiting.set_result(None)
            self.shake()
            self._see_whether_all_are_here()

    def shake(self) -> None:
        """Begin a rebalance."""
        if not self._is_rebalancing and self._members:
            self._is_rebalancing = True
            self.rebalances += 1
            asyncio.get_running_loop().call_later(REBALANCE_TIMEOUT_S, self._give_up_waiting, self.generation)
        for member in self._members:
            if member not in self._joined:
                member.rejoin.set()

    def _give_up_waiting(self, generation: int) -> None:
        if self._is_rebalancing and self.generation == generation:
            self._members = [member for member in self._members if member in self._joined]
            self._see_whether_all_are_here()

    def _see_whether_all_are_here(self) -> None:
        if not self._is_rebalancing or len(self._joined) < len(self._members):
            return
        self._is_rebalancing = False
        self.generation += 1
        if self._members:
            self._owner = {place: self._new_owner(place) for place in self._places}
        joined, self._joined = self._joined, {}
        for member, assigned in joined.items():
            if not assigned.done():
                assigned.set_result(([place for place in self._places if self._owner[place] is member], self.generation))

    def _new_owner(self, place: Place) -> Member:
        before = self._owner.get(place)
        if before in self._members and self._chance.random() < STICKINESS:
            assert before is not None
            return before
        return self._chance.choice(self._members)
