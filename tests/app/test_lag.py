"""Lag on plain and on transactional topics of a real broker, against what was written and the broker's end offsets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.app.lag import Lag, lag
from pipeline.errors import SettingsError
from tests.support.broker import Broker

pytestmark = pytest.mark.kafka

PARTS = 2


@pytest.fixture
async def topic(kafka: Broker, topic_prefix: str) -> str:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    await client.create_topics([NewTopic(f"{topic_prefix}in", PARTS, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    await client.close()
    return f"{topic_prefix}in"


@asynccontextmanager
async def producer(kafka: Broker, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=transactional_id)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def commit(kafka: Broker, group: str, topic: str, offsets: dict[int, int]) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, part) for part in offsets])
    await consumer.start()
    await consumer.commit({TopicPartition(topic, part): offset for part, offset in offsets.items()})
    await consumer.stop()


async def end_offsets(kafka: Broker, topic: str) -> list[int]:
    """As a plain consumer that reads uncommitted sees them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    ends = await consumer.end_offsets([TopicPartition(topic, part) for part in range(PARTS)])
    await consumer.stop()
    return [ends[TopicPartition(topic, part)] for part in range(PARTS)]


async def written(kafka: Broker, topic: str, group: str, *, wrote: int, ends: str = "commit") -> None:
    """One transaction with `wrote` records in partition 0."""
    async with producer(kafka, f"{group}-tx") as tx:
        await tx.begin_transaction()
        for _ in range(wrote):
            await tx.send_and_wait(topic, b"x", partition=0)
        await (tx.commit_transaction() if ends == "commit" else tx.abort_transaction())


async def seen(kafka: Broker, topic: str, group: str) -> tuple[Lag, Lag]:
    first, second = await lag(kafka.bootstrap, group, [topic], now_ms=time.time_ns() // 1_000_000)
    return first, second


def numbers(row: Lag) -> tuple[int, int | None, int]:
    return row.records, row.committed_offset, row.end_offset


async def test_nothing_written_is_nothing_behind(kafka: Broker, topic: str, topic_prefix: str) -> None:
    for row in await seen(kafka, topic, topic_prefix):
        assert (numbers(row), row.seconds) == ((0, None, 0), 0.0)


async def test_a_plain_topic_before_during_and_after(kafka: Broker, topic: str, topic_prefix: str) -> None:
    async with producer(kafka) as plain:
        for part, count in ((0, 5), (1, 3)):
            for _ in range(count):
                await plain.send_and_wait(topic, b"x", partition=part)
    first, second = await seen(kafka, topic, topic_prefix)
    assert (numbers(first), numbers(second)) == ((5, None, 5), (3, None, 3))
    assert first.seconds is not None
    assert 0.0 <= first.seconds < 30.0
    await commit(kafka, topic_prefix, topic, {0: 2, 1: 3})
    first, second = await seen(kafka, topic, topic_prefix)
    assert (numbers(first), numbers(second), second.seconds) == ((3, 2, 5), (0, 3, 3), 0.0)
    assert [first.end_offset, second.end_offset] == await end_offsets(kafka, topic)


async def test_a_marker_at_the_end_is_nothing_behind(kafka: Broker, topic: str, topic_prefix: str) -> None:
    await written(kafka, topic, topic_prefix, wrote=4)
    await commit(kafka, topic_prefix, topic, {0: 4})
    first, _ = await seen(kafka, topic, topic_prefix)
    assert (numbers(first), first.seconds) == ((0, 4, 5), 0.0)
    assert (await end_offsets(kafka, topic))[0] == 5


async def test_an_aborted_transaction_is_nothing_behind(kafka: Broker, topic: str, topic_prefix: str) -> None:
    await written(kafka, topic, topic_prefix, wrote=2)
    await commit(kafka, topic_prefix, topic, {0: 3})
    await written(kafka, topic, topic_prefix, wrote=7, ends="abort")
    first, _ = await seen(kafka, topic, topic_prefix)
    assert (numbers(first), first.seconds) == ((0, 3, 11), 0.0)


async def test_what_is_left_behind_an_aborted_transaction_counts_from_its_first_record(
    kafka: Broker, topic: str, topic_prefix: str
) -> None:
    await written(kafka, topic, topic_prefix, wrote=7, ends="abort")
    await written(kafka, topic, topic_prefix, wrote=2)
    first, _ = await seen(kafka, topic, topic_prefix)
    assert numbers(first) == (3, None, 11)  # two records and their marker
    assert first.seconds is not None
    assert first.seconds > 0.0


async def test_an_open_transaction_is_not_yet_there(kafka: Broker, topic: str, topic_prefix: str) -> None:
    async with producer(kafka, f"{topic_prefix}-tx") as tx:
        await tx.begin_transaction()
        await tx.send_and_wait(topic, b"x", partition=0)
        first, _ = await seen(kafka, topic, topic_prefix)
        assert numbers(first) == (0, None, 0)
        await tx.commit_transaction()
    first, _ = await seen(kafka, topic, topic_prefix)
    assert numbers(first) == (2, None, 2)


async def test_a_missing_topic_is_said(kafka: Broker, topic_prefix: str) -> None:
    with pytest.raises(SettingsError, match="gone is missing: make it with `callverdict topics create`"):
        await lag(kafka.bootstrap, topic_prefix, [f"{topic_prefix}gone"], now_ms=0)
