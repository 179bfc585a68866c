"""Kafka as seen from outside the engine: plain clients that create, write, read and compare."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


class View:
    """One broker, one application: topics are named after the application."""

    def __init__(self, bootstrap: str, app_id: str) -> None:
        self.bootstrap = bootstrap
        self.app_id = app_id

    def topic(self, name: str) -> str:
        return f"{self.app_id}.{name}"

    async def create(self, partitions: int = 4, **counts: int) -> None:
        wanted = {"in": partitions, "out": partitions, "copy": partitions, "state": partitions, "marks": 1, **counts}
        compacted = {"cleanup.policy": "compact"}
        topics = [NewTopic(self.topic(name), n, 1, topic_configs=compacted if name == "state" else {}) for name, n in wanted.items()]
        async with _admin(self.bootstrap) as admin:
            await admin.create_topics(topics)

    async def grow(self, name: str, partitions: int) -> None:
        async with _admin(self.bootstrap) as admin:
            await admin.create_partitions({self.topic(name): NewPartitions(partitions)})

    async def write(
        self, name: str, records: Iterable[tuple[int, bytes, bytes]], *, transaction: str | None = None, abort: bool = False
    ) -> None:
        """Records are (partition, key, value); `transaction` is a transactional id."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=transaction, max_batch_size=16_000) as producer:
            if transaction is not None:
                await producer.begin_transaction()
            futures = [await producer.send(self.topic(name), value, key, partition=partition) for partition, key, value in records]
            await asyncio.gather(*futures)
            if transaction is not None:
                await (producer.abort_transaction() if abort else producer.commit_transaction())

    @asynccontextmanager
    async def open_transaction(self, name: str, partition: int) -> AsyncIterator[None]:
        """One record stands uncommitted in the partition until the block ends."""
        async with (
            AIOKafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=f"{self.app_id}-open") as producer,
            producer.transaction(),
        ):
            await producer.send_and_wait(self.topic(name), b"later", b"key", partition=partition)
            yield

    async def read(self, name: str, *, isolation: str = "read_committed") -> list[Any]:
        """Every record of a topic up to its present end, partition by partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level=isolation, auto_offset_reset="earliest",
            enable_auto_commit=False, max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=50,
        )  # fmt: skip
        async with consumer:
            places = await self._places(consumer, name)
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[Any] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(records)
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def committed(self, name: str) -> dict[int, int]:
        """The group's offsets; -1 where there is none."""
        places = await self._all_places(name)
        async with _admin(self.bootstrap) as admin:
            found = await admin.list_consumer_group_offsets(self.app_id, partitions=places)
        return {place.partition: found[place].offset for place in places}

    async def reset(self, name: str, offset: int) -> None:
        """Set the group's offsets as an operator would; nobody may be in the group."""
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.app_id, enable_auto_commit=False) as consumer:
            places = await self._places(consumer, name)
            consumer.assign(places)
            await consumer.commit(dict.fromkeys(places, offset))

    async def lags(self, name: str) -> dict[int, int]:
        """End of the log minus committed offset, per partition; a partition without a commit counts from 0."""
        places = await self._all_places(name)
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            ends = await consumer.end_offsets(places)
        committed = await self.committed(name)
        return {place.partition: ends[place] - max(0, committed[place.partition]) for place in places}

    async def lag(self, names: Collection[str] = ("in",)) -> int:
        return sum([sum((await self.lags(name)).values()) for name in names])

    async def drained(self, names: Collection[str] = ("in",), *, within_s: float = 30.0) -> None:
        """Return when nothing is behind; fail after `within_s`."""
        async with asyncio.timeout(within_s):
            while await self.lag(names):  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.2)

    async def _all_places(self, name: str) -> list[TopicPartition]:
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            return await self._places(consumer, name)

    async def _places(self, consumer: AIOKafkaConsumer, name: str) -> list[TopicPartition]:
        topic = self.topic(name)
        partitions = await consumer._client._wait_on_metadata(topic)
        assert partitions, f"{topic} has no partitions"
        return [TopicPartition(topic, partition) for partition in sorted(partitions)]

    # -- what the counting job must have written

    async def assert_counted_once(self, *, copied: bool = False) -> None:
        """Every input record has one output, and each key's numbers are 1, 2, 3, ... in the order of the log."""
        written = await self.read("in")
        counted = await self.read("out")
        assert [(r.partition, r.offset) for r in written] == sorted((r.partition, int(r.value.split(b"|")[0])) for r in counted)
        numbers: dict[bytes, list[int]] = defaultdict(list)
        for record in counted:
            numbers[record.key].append(int(record.value.split(b"|")[1]))
        assert {key: list(range(1, len(found) + 1)) for key, found in numbers.items()} == numbers
        if copied:
            assert content(await self.read("copy")) == content(counted)


def content(records: Sequence[Any]) -> list[tuple[int, bytes, bytes]]:
    """Partition, key and value of records, in order."""
    return [(record.partition, record.key, record.value) for record in records]


def numbered(count: int, *, partitions: int = 4, keys: int = 100, first: int = 0) -> list[tuple[int, bytes, bytes]]:
    """Records spread over partitions; a key always goes to the same one."""
    return [(i % keys % partitions, b"key-%d" % (i % keys), b"x" * 60 + b"%d" % i) for i in range(first, first + count)]
