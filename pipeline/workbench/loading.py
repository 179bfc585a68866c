"""Fills topics with a load before it is measured, and reads back what became of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from pipeline.app import codec
from pipeline.app.partitioning import partition_of
from pipeline.app.topics import Names, names
from pipeline.core.model import LegEvent, Result
from pipeline.core.routing import EVERY_ORIGIN, Watermark, home_of, state_key
from pipeline.settings import Settings
from pipeline.workbench.following import consumer

T = TypeVar("T")
Keyed = list[tuple[bytes | None, bytes]]

WATERMARK_EVERY = 2_000
BATCH_BYTES = 900_000
SETTLED_MS = 3_600_000


class LegOutcome(msgspec.Struct):
    """What of a leg's row is compared with the plan."""

    leg_id: str
    result: Result | None
    is_deleted: bool = False


class Told(NamedTuple):
    """Leg -> the result of its last row, and how many records said so."""

    results: dict[str, Result]
    records: int


class TallyOutcome(msgspec.Struct):
    attribution: str
    window_size_s: int
    legs_offered: int
    window_state: str


async def load_events(settings: Settings, stream: Iterable[LegEvent]) -> int:
    """Write events into calls.events as `normalize` does: keyed, in transactions, a watermark to each partition after every 2,000.

    Return how many there were.
    """
    topic, count = names(settings).events, settings.topics.partitions
    total, reached_ms = 0, 0
    async with _producer(settings, transactional_id=f"{settings.app_id}-load") as producer:
        for events in _pieces(stream, WATERMARK_EVERY):
            total += len(events)
            reached_ms = max(reached_ms, events[-1].at_ms)
            await _write(producer, topic, {**_placed(events, count)}, Watermark(origin=events[0].origin, at_ms=reached_ms), count)
    return total


async def settle(settings: Settings, at_ms: int) -> None:
    """Let an hour pass in calls.events after this time: whatever has ended is complete then."""
    topic, count = names(settings).events, settings.topics.partitions
    async with _producer(settings, transactional_id=f"{settings.app_id}-load") as producer:
        await _write(producer, topic, {}, Watermark(origin=EVERY_ORIGIN, at_ms=at_ms + SETTLED_MS), count)


async def load_raw(settings: Settings, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> int:
    """Write keys and values into a raw topic. Return how many there were."""
    count = settings.topics.partitions
    total = 0
    async with _producer(settings) as producer:
        for piece in _pieces(records, WATERMARK_EVERY):
            placed: dict[int, Keyed] = defaultdict(list)
            for key, value in piece:
                placed[partition_of(key or b"", count)].append((key, value))
            await _send(producer, topic, placed)
            total += len(piece)
    return total


async def leg_results(settings: Settings) -> Told:
    """Return what a reader of committed records learns from calls.legs."""
    last: dict[tuple[bytes | None, str], LegOutcome] = {}
    records = 0
    decode = msgspec.json.Decoder(LegOutcome).decode
    async for key, value in _keyed(settings, names(settings).legs):
        row = decode(value)
        records += 1
        last[key, row.leg_id] = row  # a leg that moved to another call has a withdrawn row there, maybe in a partition read later
    return Told({row.leg_id: row.result for row in last.values() if row.result is not None and not row.is_deleted}, records)


async def legs_tallied(settings: Settings) -> int:
    """Return how many offered legs the last rows of all windows of the smallest size count."""
    decode = msgspec.json.Decoder(TallyOutcome).decode
    last = {key: decode(value) async for key, value in _keyed(settings, names(settings).tallies)}
    smallest_s = min(settings.policy.window_sizes_s)
    return sum(row.legs_offered for row in last.values() if (row.attribution, row.window_size_s) == ("cohort", smallest_s))


async def count_events(settings: Settings) -> int:
    """Return how many canonical events stand in calls.events."""
    return sum([not value.startswith(b'{"control":') async for value in _values(settings, names(settings).events)])


async def count_dead_letters(settings: Settings) -> int:
    ours: Names = names(settings)
    return sum([1 async for _ in _values(settings, ours.dead_letters)])


def _pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while piece := list(islice(iterator, size)):
        yield piece


def _placed(events: Sequence[LegEvent], count: int) -> dict[int, Keyed]:
    placed: dict[int, Keyed] = defaultdict(list)
    for event in events:
        key = state_key(event.tenant, home_of(event)).encode()
        placed[partition_of(key, count)].append((key, codec.encode(event)))
    return placed


async def _write(producer: AIOKafkaProducer, topic: str, placed: dict[int, Keyed], watermark: Watermark, count: int) -> None:
    record = (codec.CONTROL_KEY, codec.encode(watermark))
    async with producer.transaction():
        await _send(producer, topic, {partition: [*placed.get(partition, ()), record] for partition in range(count)})


async def _send(producer: AIOKafkaProducer, topic: str, placed: dict[int, Keyed]) -> None:
    sent = [
        await producer.send_batch(batch, topic, partition=partition)
        for partition, records in placed.items()
        for batch in _batches(producer.create_batch, records)
    ]
    await asyncio.gather(*sent)


def _batches(create: Callable[[], Any], records: Iterable[tuple[bytes | None, bytes]]) -> Iterator[Any]:
    batch = create()
    for key, value in records:
        if batch.append(timestamp=None, key=key, value=value) is None:
            yield batch
            batch = create()
            batch.append(timestamp=None, key=key, value=value)
    yield batch


@asynccontextmanager
async def _producer(settings: Settings, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap, client_id="callverdict-bench", acks="all", linger_ms=0, enable_idempotence=True,
        transactional_id=transactional_id, max_batch_size=BATCH_BYTES, max_request_size=4 * BATCH_BYTES, retry_backoff_ms=20,
    )  # fmt: skip
    async with producer:
        yield producer


async def _values(settings: Settings, topic: str) -> AsyncIterator[bytes]:
    async for _, value in _keyed(settings, topic):
        yield value


async def _keyed(settings: Settings, topic: str) -> AsyncIterator[tuple[bytes | None, bytes]]:
    """Every committed record of a topic that has a value, up to where it ends now."""
    places = [TopicPartition(topic, partition) for partition in range(settings.topics.partitions)]
    async with consumer(settings.bootstrap, None, places) as reader:
        ends = await reader.end_offsets(places)
        while any([await reader.position(place) < ends[place] for place in places]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.value is not None:
                        yield record.key, record.value
