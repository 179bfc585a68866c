"""Moves stream time on from outside: one watermark for every origin into each partition of calls.events."""

from __future__ import annotations

from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.app import broker, codec
from pipeline.app.cluster import Cluster, cluster
from pipeline.app.topics import names
from pipeline.core.model import LATEST_MS, LegEvent, Policy
from pipeline.core.routing import EVERY_ORIGIN, Facts, Linked, Watermark
from pipeline.errors import BadRecord, CallverdictError
from pipeline.settings import Settings, policy

POLL_MS = 500
MOST_SILENT = 60  # half a minute; an open transaction ends by itself before that


class TickError(CallverdictError):
    """A time that cannot be used."""


async def tick(settings: Settings, until: str) -> tuple[int, int]:
    """Write the watermark. Return (its time in ms, the number of partitions). Raises TickError."""
    topic, asked = names(settings).events, cluster(settings)
    partitions = await _partitions(asked, topic)
    at_ms = await _last_ms(asked, topic, partitions) + margin_ms(policy(settings), until) if until in ("settle", "ttl") else time_ms(until)
    value = codec.encode(Watermark(origin=EVERY_ORIGIN, at_ms=at_ms))
    async with AIOKafkaProducer(**asked.clients, enable_idempotence=True) as producer:
        for partition in partitions:
            await producer.send(topic, value, key=codec.CONTROL_KEY, partition=partition)
    return at_ms, len(partitions)


def margin_ms(rules: Policy, until: str) -> int:
    """Return how far past the last event stream time must go: `settle` closes what has ended, `ttl` everything."""
    settle_ms = rules.settle_ms + rules.grace_ms
    return settle_ms if until == "settle" else settle_ms + max(rules.ttl_ms, rules.offered_ttl_ms) + rules.root_wait_ms


def time_ms(text: str) -> int:
    """Return a UTC time given as ISO 8601 or as ms since 1970. Raises TickError."""
    try:
        if text.isascii() and text.isdecimal():
            at_ms = int(text)
        else:
            at = datetime.fromisoformat(text)
            at_ms = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except ValueError:
        at_ms = -1
    if not 0 <= at_ms <= LATEST_MS:
        raise TickError(f"--until {text[:40]}: give settle, ttl, a UTC time such as 2026-04-15T09:00:00Z, or milliseconds since 1970")
    return at_ms


async def _partitions(asked: Cluster, topic: str) -> list[int]:
    async with broker.admin(asked) as client:
        there = await broker.described(client)
    if topic not in there:
        raise TickError(f"topic {topic} does not exist: run `callverdict topics create`")
    return sorted(part["partition"] for part in there[topic]["partitions"])


async def _last_ms(asked: Cluster, topic: str, partitions: list[int]) -> int:
    """Read the whole topic for its latest event time."""
    places = [TopicPartition(topic, partition) for partition in partitions]
    async with AIOKafkaConsumer(
        **asked.clients, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
    ) as consumer:
        return await _read_last_ms(consumer, topic, places)


async def _read_last_ms(consumer: AIOKafkaConsumer, topic: str, places: list[TopicPartition]) -> int:
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    latest_ms, silent = -1, 0
    while any([await consumer.position(place) < ends[place] for place in places]):
        fetched = await consumer.getmany(timeout_ms=POLL_MS)
        silent = 0 if fetched else silent + 1
        if silent == MOST_SILENT:
            raise TickError(f"topic {topic} cannot be read to its end: look at the broker, or name a time with --until")
        for records in fetched.values():
            latest_ms = max([latest_ms, *(item_ms(record.value) for record in records)])
    if latest_ms < 0:
        raise TickError(f"topic {topic} holds no event yet: play something first, or name a time with --until")
    return latest_ms


def item_ms(value: bytes | None) -> int:
    """Return the event time of one record of calls.events; -1 for what has none."""
    try:
        items = codec.decode_item(value)
    except BadRecord:
        return -1
    times = [item.leg.last_ms if isinstance(item, Facts) else item.at_ms for item in items if isinstance(item, LegEvent | Linked | Facts)]
    return max(times, default=-1)
