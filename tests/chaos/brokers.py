"""The Kafka of a chaos run, and what its harms and its audit ask of it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaError

from pipeline.workbench.kafka import LocalKafka

GROUP, TRANSACTION = 0, 1
FRESH_S = 0.3
PATIENCE_S = 20.0
HEAP_MB = 384


class Brokers:
    """One broker, or three that replicate everything."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.kafka = LocalKafka(brokers=count, heap_mb=HEAP_MB)
        self.kills = 0

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    async def kill(self, number: int, *, away_s: float) -> None:
        """SIGKILL, and after a while a new start; returns when all brokers answer again."""
        await asyncio.to_thread(self.kafka.stop_broker, number, signal.SIGKILL)
        self.kills += 1
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.kafka.start_broker, number)

    async def freeze(self, number: int, *, away_s: float) -> None:
        """SIGSTOP, and after a while SIGCONT."""
        self.kafka.signal_broker(number, signal.SIGSTOP)
        await asyncio.sleep(away_s)
        self.kafka.signal_broker(number, signal.SIGCONT)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    async def leader_of(self, topic: str, partition: int) -> int:
        async with self.admin() as admin:
            (described,) = await admin.describe_topics([topic])
        return next(int(part["leader"]) for part in described["partitions"] if part["partition"] == partition)

    async def coordinator_of(self, name: str, kind: int) -> int:
        """The broker that coordinates a group or a transactional id."""
        async with self.admin() as admin:
            return int(await admin.find_coordinator(name, kind))

    async def grow(self, topic: str, partitions: int) -> None:
        async with self.admin() as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})


class Gauge:
    """How many records of the inputs are not committed, by offsets. While no broker answers it says what it last heard.

    Committed offsets are the admin client's: a consumer answers from what it remembers, and after a frozen coordinator for ever so.
    """

    def __init__(self, bootstrap: str, group: str, places: Sequence[TopicPartition]) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._places = list(places)
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._left: set[asyncio.Task[None]] = set()
        self._behind = 1
        self._asked_s = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Gauge]:
        try:
            yield self
        finally:
            self._leave()
            if self._left:
                await asyncio.wait(self._left, timeout=PATIENCE_S)

    async def offsets(self) -> dict[TopicPartition, tuple[int, int]]:
        """Committed offset (-1: none) and end of every place. Raises KafkaError, TimeoutError."""
        asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({asking}, timeout=PATIENCE_S)
        if done and asking.exception() is None:
            return asking.result()
        asking.cancel()
        self._leave()
        raise (asking.exception() if done else None) or TimeoutError

    async def behind(self) -> int:
        if time.monotonic() - self._asked_s > FRESH_S:
            try:
                found = await self.offsets()
                self._behind = sum(end - max(0, at) for at, end in found.values())
            except (KafkaError, TimeoutError):
                self._behind = max(1, self._behind)
            self._asked_s = time.monotonic()
        return self._behind

    async def _ask(self) -> dict[TopicPartition, tuple[int, int]]:
        if self._clients is None:
            self._clients = (
                AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=5_000),
                AIOKafkaConsumer(bootstrap_servers=self._bootstrap, isolation_level="read_committed", request_timeout_ms=5_000),
            )
            for client in self._clients:
                await client.start()
        admin, consumer = self._clients
        ends: dict[TopicPartition, int] = await consumer.end_offsets(self._places)
        committed = await admin.list_consumer_group_offsets(self._group, partitions=self._places)
        return {place: (committed[place].offset, ends[place]) for place in self._places}

    def _leave(self) -> None:
        if self._clients is not None:
            self._left.add(asyncio.create_task(_stop(*self._clients)))
        self._clients = None


async def _stop(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
    for stop in (admin.close, consumer.stop):
        with suppress(KafkaError, TimeoutError, asyncio.CancelledError):
            await stop()
