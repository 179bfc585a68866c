"""One worker process: the real engine with its partitions, and a stand-in for Faust's consumer that feeds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from random import Random
from typing import Any

import msgspec
from aiokafka import TopicPartition

from pipeline.engine.driver import ChunkScheduler
from pipeline.engine.ending import Exit
from pipeline.engine.engine import Engine
from pipeline.engine.observer import FaultPoint, SilentObserver
from pipeline.engine.records import Chunk
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Stage
from tests.simulation.broker import Broker
from tests.simulation.clients import HOST, hiccup
from tests.simulation.group import SESSION_TIMEOUT_S, Group
from tests.simulation.log import Place

HEARTBEAT_S = 1.0
FETCH_S = 0.02
Watch = Callable[["Host", FaultPoint, Place], None]
"""Looks at the host at each fault point of a transaction; may kill it."""


class Perils(msgspec.Struct, frozen=True):
    """How likely each happens each time that it could."""

    death: float = 0.0  # at a fault point
    hiccup: float = 0.0  # a request that is not answered
    pause: float = 0.02  # a request or a fault point that takes long
    sleep: float = 0.0  # at a fault point: the process stands still for longer than a session, once in its life


SAFE = Perils()


class Onlooker(SilentObserver):
    """Counts the records of changelogs that were read."""

    restored_records = 0

    def restored(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:  # noqa: ARG002
        self.restored_records += records


class Host:
    """`on_end` is called once, when the process ends by itself or is killed."""

    def __init__(
        self, number: int, settings: EngineSettings, stages: Sequence[Stage], broker: Broker, group: Group, chance: Random,
        *, watch: Watch, on_end: Callable[[Host, Exit | None, str, dict[str, Any]], None], now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self.number = number
        self.alive = True
        self.broker = broker
        self.chance = chance
        self.group_id = settings.app_id
        self.now_ms = now_ms
        self.perils = SAFE
        self.seen = Onlooker()
        self.taken_up = 0  # partitions whose state was still here when they came back
        self.rejoin = asyncio.Event()
        self.thawed = asyncio.Event()
        self.thawed.set()
        self._group = group
        self._watch = watch
        self._on_end = on_end
        self._slept = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._positions: dict[Place, int] = {}
        self.generation = -1
        self._held: set[Place] = set()
        self._news = asyncio.Event()
        self._scheduler = type("Scheduler", (ChunkScheduler,), {"chunk_records": settings.chunk_records})()
        self.engine = Engine(msgspec.structs.replace(settings, security={"host": self}), stages, self.seen, self._fault)
        self.engine._frozen = True  # the collector is not this process's own
        self._context = copy_context()
        self._context.run(HOST.set, self)

    # -- life and death

    def start(self) -> None:
        self.broker.news.append(self._news.set)
        self.spawn(self._belong())
        self.spawn(self._fetch())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().create_task(work, context=self._context)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was made in this process; it dies with it."""
        self._tasks.append(task)
        if not self.alive:
            task.cancel()

    def ended(self, code: Exit | None, event: str, facts: dict[str, Any]) -> None:
        """The process is gone, with all that was in its memory. Code None: it was killed."""
        if not self.alive:
            return
        self.broker.news.remove(self._news.set)
        self.vanish()
        asyncio.get_running_loop().call_later(SESSION_TIMEOUT_S, self._group.leave, self)
        self._on_end(self, code, event, facts)

    def vanish(self) -> list[asyncio.Task[Any]]:
        """Let nothing of the process go on. Return what was going on."""
        self.alive = False
        for task in self._tasks:
            task.cancel()
        return self._tasks

    def kill(self, why: str) -> None:
        self.ended(None, why, {})

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while. A process that is silent for longer than a session is no longer of the group."""
        self.thawed.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(SESSION_TIMEOUT_S, self._miss)
        loop.call_later(seconds, self._thaw)

    def _miss(self) -> None:
        if not self.thawed.is_set():
            self._group.leave(self)

    def _thaw(self) -> None:
        self.thawed.set()
        if self not in self._group:
            self.rejoin.set()

    async def leave(self) -> None:
        """SIGTERM."""
        await self.engine.finish()
        self._group.leave(self)
        self.ended(Exit.CLEAN, "left", {})

    # -- requests

    async def wire(self) -> None:
        """One way of a request: it takes its time, and may get lost. In a process that is gone it never comes back."""
        await self.breath()
        if self.perils.hiccup and self.chance.random() < self.perils.hiccup:
            raise hiccup()

    async def breath(self) -> None:
        await self._present()
        dice = self.chance.random()
        if dice < self.perils.pause:
            await asyncio.sleep(self.chance.random() * 0.5)
        elif dice < 0.2:
            await asyncio.sleep(self.chance.random() * 0.004)
        await self._present()

    async def _present(self) -> None:
        if not self.thawed.is_set():
            await self.thawed.wait()
        if not self.alive:
            await asyncio.get_running_loop().create_future()

    async def _fault(self, point: FaultPoint, topic: str, partition: int) -> None:
        if self.alive and self.chance.random() < self.perils.death:
            self.kill(point)
        elif self.alive and not self._slept and self.chance.random() < self.perils.sleep:
            self._slept = True
            self.freeze(self.chance.choice((12.0, 20.0, 45.0)))
        elif self.alive and self.chance.random() < self.perils.pause:
            await asyncio.sleep(self.chance.random() * 0.2)
        if self.alive:
            self._watch(self, point, (topic, partition))
        await self._present()

    # -- the group

    async def _belong(self) -> None:
        while True:
            while (assigned := await self._group.join(self)) is None:
                await self.breath()
            places, self.generation = assigned
            self._held.clear()
            await self.engine.assigned(self, places, self.generation)
            self.taken_up += sum(partition._assignment.kept is not None for partition in self.engine._partitions.values())
            await self.breath()
            self._positions = {place: self._begin(place) for place in places}
            self._news.set()
            await self.rejoin.wait()
            await asyncio.sleep(self.chance.random() * HEARTBEAT_S)
            await self.breath()
            await self.engine.revoked(places)
            self._positions = {}

    def _begin(self, place: Place) -> int:
        known = self.broker.committed.get(place)
        return max(self.broker.logs[place].begin, known.offset if known is not None else 0)

    # -- fetching

    async def _fetch(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(self.chance.random() * FETCH_S)
            await self.breath()
            fetched = {place: chunk for place in list(self._positions) if (chunk := self._take(place)) is not None}
            if fetched and self.chance.random() < 0.3:
                await self.breath()  # it waits in Faust's streams, perhaps for longer than a generation
            for _, chunks in self._scheduler.iterate(fetched):
                for chunk in chunks:
                    self.engine.hand_over(chunk)

    def _take(self, place: Place) -> Chunk | None:
        """Whatever one fetch of a partition gives: committed records, with the positions before and after it."""
        start, log = self._positions[place], self.broker.logs[place]
        if place in self._held or start >= log.stable:
            return None
        records, end = log.read(start, self.chance.randint(1, 40))
        self._positions[place] = end
        if end < log.stable:
            self._news.set()
        return Chunk(topic=place[0], partition=place[1], generation=self.generation, start=start, end=end, records=records)

    # -- what a partition asks for (pipeline.engine.assignment.Source)

    def hold(self, place: TopicPartition) -> None:
        self._held.add(place)

    def release(self, place: TopicPartition) -> None:
        self._held.discard(place)
        self._news.set()

    def expect(self) -> None:
        """It looks all the time."""

    def read_to_end(self, place: TopicPartition, offset: int) -> bool:
        return self._positions.get(place) == offset >= self.broker.logs[place].high
