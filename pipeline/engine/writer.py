"""One transaction: records, changelog and consumed offset together, or nothing of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from pipeline.engine.observer import Fault, FaultPoint
from pipeline.engine.producer import TransactionalProducer
from pipeline.engine.records import Record
from pipeline.engine.settings import EngineSettings, transactional_id
from pipeline.engine.step import BATCH_BYTES, MAX_RECORD_BYTES


class Position(msgspec.Struct, frozen=True):
    """A committed offset and what the step keeps with it."""

    offset: int
    metadata: str = ""


class Writer:
    """The transactional producer of one input partition. `start` fences every earlier one and aborts what it left open."""

    def __init__(self, settings: EngineSettings, topic: str, partition: int, fault: Fault) -> None:
        self._group = settings.app_id
        self._input = TopicPartition(topic, partition)
        self._fault = fault
        self._producer = _producer(settings, topic, partition)

    async def start(self) -> None:
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.client.close()
            raise

    async def stop(self) -> None:
        await self._producer.stop()

    async def write(self, records: Mapping[tuple[str, int], Sequence[Record]], position: Position | None) -> dict[tuple[str, int], int]:
        """Commit the records and the position in one transaction; returns where each written partition ends then.

        Any exception leaves it open whether the transaction was committed: the process must end.
        """
        producer = self._producer
        await self._pass("before_begin")
        await producer.begin_transaction()
        await self._pass("after_begin")
        if position is not None:
            await producer.send_offsets_to_transaction({self._input: OffsetAndMetadata(position.offset, position.metadata)}, self._group)
        await self._pass("after_offsets")
        sent = [(place, await self._send(place, batch)) for place, content in records.items() for batch in self._batches(place[0], content)]
        await self._pass("after_send")
        stored = await asyncio.gather(*(future for _, (future, _) in sent))
        await self._pass("after_futures")
        await producer.commit_transaction()
        await self._pass("after_commit")
        return {place: done.offset + count + 1 for (place, (_, count)), done in zip(sent, stored, strict=True)}  # 1: the marker

    async def _send(self, place: tuple[str, int], batch: Any) -> tuple[asyncio.Future[Any], int]:
        topic, partition = place
        return await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()

    def _batches(self, topic: str, records: Sequence[Record]) -> Iterable[Any]:
        batch = self._producer.create_batch()
        append = batch.append
        for key, value, headers in records:
            if append(timestamp=None, key=key, value=value, headers=[*headers]) is None:
                yield _checked(batch, topic)
                batch = self._producer.create_batch()
                append = batch.append
                append(timestamp=None, key=key, value=value, headers=[*headers])
        if batch.record_count():
            yield _checked(batch, topic)

    async def _pass(self, point: FaultPoint) -> None:
        await self._fault(point, self._input.topic, self._input.partition)


def _checked(batch: Any, topic: str) -> Any:
    """Refused here: aiokafka lets one record of any size into an empty batch, and the broker would refuse it only later."""
    if batch.size() > BATCH_BYTES:
        raise ValueError(
            f"a step wrote a record of {batch.size()} bytes to {topic}, the limit is {MAX_RECORD_BYTES}: "
            "it must check record_bytes against MAX_RECORD_BYTES and write a dead letter instead"
        )
    return batch


def _producer(settings: EngineSettings, topic: str, partition: int) -> TransactionalProducer:
    name = transactional_id(settings.app_id, topic, partition)
    return TransactionalProducer(
        **settings.clients,
        client_id=name,
        transactional_id=name,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
        max_request_size=4 * BATCH_BYTES,
        transaction_timeout_ms=int(settings.transaction_timeout_s * 1000),
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        retry_backoff_ms=20,
    )
