"""How far the worker is behind its inputs, as the broker sees it.

Behind are the records that a reader of committed data would still get. Their number is counted by offsets, as Kafka's own tools do, so
transaction markers between them count; but where nothing except markers and aborted records is left, nothing is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.app import broker
from pipeline.app.cluster import Brokers, clients
from pipeline.app.topics import names
from pipeline.errors import SettingsError
from pipeline.settings import Settings

PATIENCE_S = 10.0
POLL_MS = 200
FETCH_BYTES = 65_536

FirstLeft: TypeAlias = tuple[int, int]
"""Offset of the first record that is left, and the broker's timestamp of it in ms."""


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """One input partition. `seconds`: how long ago its first record that is left came; None if the broker did not hand it over in time."""

    topic: str
    partition: int
    records: int
    seconds: float | None
    committed_offset: int | None
    end_offset: int


def inputs(settings: Settings) -> tuple[str, ...]:
    """The topics that the worker reads, in the order of the flow."""
    ours = names(settings)
    return (*(source.topic for source in settings.sources), ours.events, ours.partials)


async def lag(brokers: Brokers, group: str, topics: Sequence[str], *, now_ms: int) -> tuple[Lag, ...]:
    """Every partition of these topics. Raises SettingsError if one is missing, BrokerSilentError if the brokers go away meanwhile."""
    return await broker.answered(_lag(brokers, group, topics, now_ms))


async def _lag(brokers: Brokers, group: str, topics: Sequence[str], now_ms: int) -> tuple[Lag, ...]:
    partitions = await partitions_of(brokers, topics)
    consumer = AIOKafkaConsumer(
        **clients(brokers), group_id=group, client_id="callverdict-lag", enable_auto_commit=False,
        isolation_level="read_committed", auto_offset_reset="earliest", max_partition_fetch_bytes=FETCH_BYTES,
    )  # fmt: skip
    consumer.assign(partitions)
    try:
        await consumer.start()
        committed = {partition: await consumer.committed(partition) for partition in partitions}
        begin, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        next_offset = {partition: max(committed[partition] or 0, begin[partition]) for partition in partitions}
        left = await first_left(consumer, next_offset, end)
    finally:
        await consumer.stop()
    return tuple(
        lag_of(partition, committed[partition], next_offset[partition], end[partition], left, now_ms=now_ms) for partition in partitions
    )


async def partitions_of(brokers: Brokers, topics: Sequence[str]) -> list[TopicPartition]:
    async with broker.admin(brokers) as client:
        there = await broker.described(client)
    if missing := [topic for topic in topics if topic not in there]:
        raise SettingsError([f"{topic} is missing: make it with `callverdict topics create`" for topic in missing])
    return [TopicPartition(topic, part) for topic in topics for part in sorted(part["partition"] for part in there[topic]["partitions"])]


async def first_left(
    consumer: AIOKafkaConsumer, next_offset: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
) -> dict[TopicPartition, FirstLeft | None]:
    """For each partition that is not read to its end: the first record left, or None if only markers are.

    A partition of which the broker says nothing in time is missing from the answer.
    """
    behind = {partition for partition, offset in next_offset.items() if offset < end[partition]}
    consumer.pause(*(set(next_offset) - behind))
    for partition in behind:
        consumer.seek(partition, next_offset[partition])
    left: dict[TopicPartition, FirstLeft | None] = {}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while behind - set(left):
                await look(consumer, behind - set(left), end, left)
    except TimeoutError:
        pass
    return left


async def look(
    consumer: AIOKafkaConsumer, wanted: set[TopicPartition], end: Mapping[TopicPartition, int], left: dict[TopicPartition, FirstLeft | None]
) -> None:
    for partition, records in (await consumer.getmany(*wanted, timeout_ms=POLL_MS)).items():
        if records:
            left[partition] = (records[0].offset, records[0].timestamp)
            consumer.pause(partition)
    for partition in wanted - set(left):
        if await consumer.position(partition) >= end[partition]:
            left[partition] = None


def lag_of(
    partition: TopicPartition,
    committed: int | None,
    next_offset: int,
    end: int,
    left: Mapping[TopicPartition, FirstLeft | None],
    *,
    now_ms: int,
) -> Lag:
    records, seconds = behind_by(next_offset, end, left.get(partition), is_known=partition in left, now_ms=now_ms)
    return Lag(
        topic=partition.topic, partition=partition.partition, records=records, seconds=seconds, committed_offset=committed, end_offset=end
    )


def behind_by(next_offset: int, end: int, first: FirstLeft | None, *, is_known: bool, now_ms: int) -> tuple[int, float | None]:
    if next_offset >= end or (is_known and first is None):
        return 0, 0.0
    if first is None:
        return end - next_offset, None
    offset, came_ms = first
    return end - offset, max(0, now_ms - came_ms) / 1000
