"""aiokafka's transactional producer with the requests of a transaction one after the other, where its own sender runs a loop of tasks.

That costs two thirds of the CPU, and no request is refused: aiokafka sends records and offsets at once, so a broker asks the coordinator
twice about the same transaction, or while it grows, refuses one of both as "not enough replicas", and aiokafka pauses and sends it again.
What a response means and what is tried again stays aiokafka's own knowledge, in its handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.producer.sender import (
    AddOffsetsToTxnHandler,
    AddPartitionsToTxnHandler,
    BaseHandler,
    EndTxnHandler,
    Sender,
    SendProduceReqHandler,
    TxnOffsetCommitHandler,
)
from aiokafka.producer.transaction_manager import TransactionResult
from aiokafka.structs import OffsetAndMetadata

NOBODY = -1


class Parcel:
    """A batch on its way to its partition. `stored` gives the parcel itself, with the `offset` of its first record."""

    def __init__(self, place: TopicPartition, builder: Any) -> None:
        self.place = place
        self.offset: int | None = None
        self.stored: asyncio.Future[Parcel] = asyncio.get_running_loop().create_future()
        self._builder = builder

    def number(self, manager: Any) -> None:
        """By this the broker knows it again if it comes twice. Once, before it is sent."""
        self._builder._set_producer_state(manager.producer_id, manager.producer_epoch, manager.sequence_number(self.place))
        manager.increment_sequence_number(self.place, self._builder.record_count())

    # -- what SendProduceReqHandler does with a batch

    def get_data_buffer(self) -> Any:
        return self._builder._build()

    def done(self, base_offset: int, _timestamp: int, _log_start_offset: int) -> None:
        self.offset = base_offset
        self.stored.set_result(self)

    def failure(self, *, exception: BaseException) -> None:
        raise exception


class Requests(Sender):
    """Stands where a producer has its sender, and does nothing by itself. Each call returns when it is done, however often it is tried."""

    async def start(self) -> None:
        await self._maybe_wait_for_pid()
        self._message_accumulator = self  # where a handler puts what has to be sent again

    def reenqueue(self, parcel: Parcel) -> None:
        """It has no offset yet, so it is sent again."""

    async def add_offsets(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: str) -> None:
        self._txn_manager.add_offsets_to_txn({**offsets}, group)
        await self._until_done(CoordinationType.TRANSACTION, lambda: AddOffsetsToTxnHandler(self, group))
        await self._until_done(CoordinationType.GROUP, lambda: TxnOffsetCommitHandler(self, offsets, group), group)

    async def add_partitions(self) -> None:
        added = self._txn_manager.partitions_to_add()
        if added:
            await self._until_done(CoordinationType.TRANSACTION, lambda: AddPartitionsToTxnHandler(self, added))

    async def store(self, parcels: Sequence[Parcel]) -> None:
        """For each partition one parcel at a time, in order."""
        for parcel in parcels:
            parcel.number(self._txn_manager)
        while waiting := {parcel.place: parcel for parcel in reversed(parcels) if parcel.offset is None}:
            by_leader = self._by_leader(waiting)
            if NOBODY in by_leader:
                await self.client.force_metadata_update()
                await asyncio.sleep(self._retry_backoff)
            else:
                await _all([SendProduceReqHandler(self, those).do(node) for node, those in by_leader.items()])

    async def commit(self) -> None:
        self._txn_manager.committing_transaction()
        await self._until_done(CoordinationType.TRANSACTION, lambda: EndTxnHandler(self, TransactionResult.COMMIT))

    async def _until_done(self, kind: CoordinationType, request: Callable[[], BaseHandler], key: str | None = None) -> None:
        while not await request().do(await self._find_coordinator(kind, key or self._txn_manager.transactional_id)):
            pass  # it has paused
        ended = self._txn_manager.wait_for_transaction_end()
        if ended.done():
            ended.result()  # raises what a handler only noted down: a topic or a group that this user may not use

    def _by_leader(self, parcels: Mapping[TopicPartition, Parcel]) -> dict[int, dict[TopicPartition, Parcel]]:
        by_leader: dict[int, dict[TopicPartition, Parcel]] = {}
        for place, parcel in parcels.items():
            leader = self.client.cluster.leader_for_partition(place)
            by_leader.setdefault(NOBODY if leader is None else leader, {})[place] = parcel
        return by_leader


class TransactionalProducer(AIOKafkaProducer):
    """For one transaction at a time that is always committed. After any exception nobody knows what the broker has done."""

    def __init__(self, *, request_timeout_ms: int, retry_backoff_ms: int, **rest: Any) -> None:
        super().__init__(request_timeout_ms=request_timeout_ms, retry_backoff_ms=retry_backoff_ms, acks="all", **rest)
        self._sender = self._requests = Requests(
            self.client, acks=-1, txn_manager=self._txn_manager, message_accumulator=None,
            retry_backoff_ms=retry_backoff_ms, request_timeout_ms=request_timeout_ms,
        )  # fmt: skip
        self._parcels: list[Parcel] = []
        self._storing: asyncio.Task[None] | None = None

    async def begin_transaction(self) -> None:
        self._txn_manager.begin_transaction()

    async def send_offsets_to_transaction(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_id: str) -> None:
        await self._requests.add_offsets(offsets, group_id)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Parcel]:
        """Return what tells when it is stored. What is sent without a pause between goes out together."""
        await self.client._wait_on_metadata(topic)
        parcel = Parcel(TopicPartition(topic, partition), batch)
        self._txn_manager.maybe_add_partition_to_txn(parcel.place)
        self._parcels.append(parcel)
        if self._storing is None:
            self._storing = asyncio.get_running_loop().create_task(self._store())
        return parcel.stored

    async def commit_transaction(self) -> None:
        if self._storing is not None:
            await self._storing
        await self._requests.commit()

    async def _store(self) -> None:
        while self._parcels:
            parcels, self._parcels = self._parcels, []
            try:
                await self._requests.add_partitions()
                await self._requests.store(parcels)
            except BaseException as error:
                for parcel in parcels:
                    if not parcel.stored.done():
                        parcel.stored.set_exception(error)
                raise
        self._storing = None


async def _all(sends: Sequence[Any]) -> None:
    """One request for each broker, at the same time. The usual case of a single one needs no task."""
    if len(sends) == 1:
        await sends[0]
    else:
        await asyncio.gather(*sends)
