"""A topic's committed records from its beginning to where it ends now, all partitions merged by the broker's time.

Merged, so that the same topic gives the same order however the broker hands its partitions over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.app import broker
from pipeline.app.cluster import Brokers, clients
from pipeline.errors import CallverdictError, SettingsError

POLL_MS = 500
PATIENCE_POLLS = 60
MOST_RECORDS = 2_000


class TopicLogError(CallverdictError):
    """A broker that stops handing over what it said it has."""


class Logged(NamedTuple):
    """One record. `stamped_ms`: when the broker got it."""

    partition: int
    offset: int
    stamped_ms: int
    key: bytes | None
    value: bytes | None


class TopicLog:
    """The log of one topic, read without a group: nothing is committed, no worker notices. What is in an open transaction is not there."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self.brokers = brokers
        self.topic = topic
        self.partitions = 0
        self.begin: Mapping[int, int] = {}
        self.end: Mapping[int, int] = {}
        self._queues: dict[int, deque[Logged]] = {}

    async def __aenter__(self) -> Self:
        """Find the ends. Raises SettingsError for a topic that is missing, aiokafka's KafkaConnectionError."""
        async with broker.admin(self.brokers) as client:
            there = await broker.described(client)
        if self.topic not in there:
            raise SettingsError(
                [f"the topic {self.topic} is missing: give one that `callverdict topics list` names, or another --bootstrap"]
            )
        self.partitions = len(there[self.topic]["partitions"])
        self._all = [TopicPartition(self.topic, number) for number in range(self.partitions)]
        self._consumer = AIOKafkaConsumer(
            **clients(self.brokers), client_id="callverdict-topiclog", enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest",
        )  # fmt: skip
        self._consumer.assign(self._all)
        await self._consumer.start()
        begin, end = await self._consumer.beginning_offsets(self._all), await self._consumer.end_offsets(self._all)
        self.begin = {one.partition: offset for one, offset in begin.items()}
        self.end = {one.partition: offset for one, offset in end.items()}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    @property
    def total(self) -> int:
        """Return the number of offsets between beginning and end."""
        return sum(self.end[number] - self.begin[number] for number in self.end)

    def holding(self) -> tuple[int, ...]:
        """Return the partitions that are not empty."""
        return tuple(number for number in sorted(self.end) if self.end[number] > self.begin[number])

    async def records(self) -> AsyncIterator[Logged]:
        """Yield the records; may be called again, for the same ones."""
        for number in self.holding():
            self._consumer.seek(TopicPartition(self.topic, number), self.begin[number])
        self._queues = {number: deque() for number in self.holding()}
        while await self._filled():
            number = min(self._queues, key=lambda number: (self._queues[number][0].stamped_ms, number))
            yield self._queues[number].popleft()

    async def _filled(self) -> bool:
        """Have a record of every partition that has one left."""
        for number in [number for number, queue in self._queues.items() if not queue]:
            if not await self._fetch(number):
                del self._queues[number]
        return bool(self._queues)

    async def _fetch(self, number: int) -> bool:
        """Fetch records of one partition. Return False once it is read to its end. Raises TopicLogError."""
        partition, end = TopicPartition(self.topic, number), self.end[number]
        for _ in range(PATIENCE_POLLS):
            if await self._consumer.position(partition) >= end:  # past transaction markers too, for which no record comes
                return False
            fetched = await self._consumer.getmany(partition, timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            records = [record for record in fetched.get(partition, ()) if record.offset < end]
            if records:
                self._queues[number].extend(Logged(number, one.offset, one.timestamp, one.key, one.value) for one in records)
                return True
        raise TopicLogError(f"{self.topic}: the broker hands over nothing more of partition {number}: see that it runs, and try again")
