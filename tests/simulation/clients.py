"""Stand-ins for aiokafka's clients, as far as the engine uses them, and for the clock and the end of a process.

`in_memory()` puts them in place of the real ones. The host that a client belongs to comes with the clients' security settings; the host
whose clock is asked or whose process ends is the one in whose task that happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import patch

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from pipeline.engine import clock, engine, partition, survey, writer
from pipeline.engine.ending import Exit
from pipeline.engine.records import Record
from pipeline.engine.step import BATCH_BYTES, record_bytes
from pipeline.engine.writer import Position
from tests.simulation.log import Place, Rec

if TYPE_CHECKING:
    from tests.simulation.host import Host

HOST: ContextVar[Host] = ContextVar("HOST")
MOST_READ = 40
"""Entries of a changelog that one poll gives: a restore takes several."""


class ProcessEnded(BaseException):
    """Whatever goes on in a process that has ended, it goes on no longer."""


class Batch:
    """Records on their way to one partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._size = 0

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> object | None:
        """None: the batch is full. Of one record aiokafka takes any size, too."""
        assert timestamp is None
        record = key, value, headers
        size = record_bytes(record)
        if self.records and self._size + size > BATCH_BYTES:
            return None
        self.records.append(record)
        self._size += size
        return self

    def size(self) -> int:
        return self._size

    def record_count(self) -> int:
        return len(self.records)


class Producer:
    """pipeline.engine.producer.TransactionalProducer. What it sends arrives in order in each partition, after a while."""

    def __init__(self, *, host: Host, transactional_id: str, **_: Any) -> None:
        self.client = SimpleNamespace(close=self.stop)
        self._host = host
        self._id = transactional_id
        self._epoch = -1
        self._due_s: dict[Place, float] = {}
        self._sent: list[asyncio.Future[Any]] = []

    async def start(self) -> None:
        await self._host.wire()
        self._epoch = await self._host.broker.take_id(self._id)
        await self._host.wire()

    async def stop(self) -> None:
        await self._host.breath()

    async def begin_transaction(self) -> None:
        await self._host.wire()
        await self._host.broker.begin(self._id, self._epoch)

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        place = topic, partition
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[Any] = loop.create_future()
        due_s = self._due_s.get(place, 0.0)
        if due_s < loop.time() and self._host.chance.random() < 0.5:
            self._arrive(batch, place, stored)
        else:
            self._due_s[place] = due_s = max(due_s + 1e-6, loop.time() + self._host.chance.random() * 0.003)
            loop.call_at(due_s, self._arrive, batch, place, stored)
        self._sent.append(stored)
        return stored

    async def send_offsets_to_transaction(self, offsets: Mapping[Any, Any], group: str) -> None:
        assert group == self._host.group_id
        await self._host.wire()
        positions = {tuple(place): Position(known.offset, known.metadata) for place, known in offsets.items()}
        self._host.broker.add_offsets(self._id, self._epoch, positions)
        await self._host.wire()

    async def commit_transaction(self) -> None:
        """An error leaves it open whether it was committed, as it is over a network."""
        if not all(stored.done() for stored in self._sent):
            await asyncio.gather(*self._sent, return_exceptions=True)
        self._sent.clear()
        await self._host.wire()
        self._host.broker.commit(self._id, self._epoch)
        await self._host.wire()

    def _arrive(self, batch: Batch, place: Place, stored: asyncio.Future[Any]) -> None:
        if not self._host.alive and self._host.chance.random() < 0.5:
            return  # it was still in the process
        try:
            offset = self._host.broker.produce(self._id, self._epoch, place, batch.records)
        except Exception as error:  # noqa: BLE001  it belongs to whoever awaits the future
            if not stored.done():
                stored.set_exception(error)
                stored.exception()
        else:
            if not stored.done():
                stored.set_result(SimpleNamespace(offset=offset))


class Consumer:
    """aiokafka.AIOKafkaConsumer outside any group: it sees what is committed."""

    def __init__(self, *, host: Host, isolation_level: str, **_: Any) -> None:
        assert isolation_level == "read_committed"
        self._host = host
        self._position: dict[Place, int] = {}

    async def start(self) -> None:
        await self._host.wire()

    async def stop(self) -> None:
        """Nothing is held."""

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._host.wire()
        return {place: self._host.broker.logs[place].begin for place in places}

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._host.wire()
        return {place: self._host.broker.logs[place].stable for place in places}

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self._position = dict.fromkeys(places, 0)

    async def seek_to_beginning(self, place: TopicPartition) -> None:
        self._position[place] = self._host.broker.logs[place].begin

    async def position(self, place: TopicPartition) -> int:
        return self._position[place]

    async def getmany(self, place: TopicPartition, *, timeout_ms: int) -> dict[TopicPartition, list[Rec]]:
        assert timeout_ms > 0
        await self._host.wire()
        records, self._position[place] = self._host.broker.logs[place].read(self._position[place], self._host.chance.randint(1, MOST_READ))
        return {place: records} if records else {}


class Admin:
    """aiokafka.admin.AIOKafkaAdminClient."""

    def __init__(self, *, host: Host, **_: Any) -> None:
        self._host = host

    async def start(self) -> None:
        await self._host.wire()

    async def close(self) -> None:
        """Nothing is held."""

    async def list_consumer_group_offsets(self, group: str, *, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Any]:
        assert group == self._host.group_id
        await self._host.wire()
        known = {place: self._host.broker.committed.get(place, Position(-1)) for place in partitions}
        return {place: SimpleNamespace(offset=position.offset, metadata=position.metadata) for place, position in known.items()}

    async def describe_topics(self, topics: Sequence[str]) -> list[dict[str, Any]]:
        await self._host.wire()
        counts = self._host.broker.counts
        return [{"topic": topic, "partitions": [None] * counts[topic], "error_code": 0} for topic in topics]


def hiccup() -> KafkaConnectionError:
    """What a broker that does not answer looks like. The engine must either try again or end the process."""
    return KafkaConnectionError("the simulated broker did not answer")


def _end_process(code: Exit, event: str, **facts: Any) -> NoReturn:
    HOST.get().ended(code, event, facts)
    raise ProcessEnded


@contextmanager
def in_memory() -> Iterator[None]:
    """Every engine that is made and run inside runs on the stand-ins. Nothing is logged."""
    with (
        structlog.testing.capture_logs(),
        patch.object(writer, "TransactionalProducer", Producer),
        patch.object(survey, "LightConsumer", Consumer),
        patch.object(survey, "AIOKafkaAdminClient", Admin),
        patch.object(partition, "end_process", _end_process),
        patch.object(engine, "end_process", _end_process),
        patch.object(clock, "elapsed_s", lambda: asyncio.get_running_loop().time()),
        patch.object(clock, "now_ms", lambda: HOST.get().now_ms()),
    ):
        yield
