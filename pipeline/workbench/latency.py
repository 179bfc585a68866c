"""Produce-to-verdict latency, open loop: an event is due at its time whether or not the one before it has been answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from msgspec import UNSET, UnsetType

from pipeline.app import codec
from pipeline.app.partitioning import partition_of
from pipeline.core.model import LegEvent, Result
from pipeline.workbench.following import consumer
from pipeline.workbench.site import Site

PATIENCE_S = 30.0


class Ended(msgspec.Struct):
    """What of a leg's row says that its end was judged; a peer's row is written only then, and has no such field."""

    leg_id: str
    ended_ms: int | UnsetType | None = UNSET


class Way(NamedTuple):
    """Where events go in, under which key, and which event makes a leg's verdict due."""

    into: str
    key: Callable[[LegEvent], bytes]
    decides: Callable[[LegEvent], bool]


class Latency(NamedTuple):
    """From the moment when the event that ends an unanswered leg was due to be sent, to the moment when a reader has its verdict."""

    verdicts: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    worst_ms: float
    behind_ms: float
    """By how much the producer itself was late at worst."""


async def measure(here: Site, way: Way, events: Sequence[LegEvent], results: Mapping[str, Result], *, rate: float, warm: float) -> Latency:
    """Send canonical events at `rate` a second, read calls.legs; the first `warm` of them do not count.

    Raises TimeoutError if verdicts are missing at the end.
    """
    waited_for = {leg_id for leg_id, result in results.items() if result is not Result.ANSWERED}
    due_s: dict[str, float] = {}
    seen_s: dict[str, float] = {}
    counted = {event.leg_id for event in events[int(len(events) * warm) :] if way.decides(event)} & waited_for
    async with consumer(here.settings.bootstrap, None, here.places(here.topics.legs)) as reader, _producer(here) as producer:
        reading = asyncio.create_task(_read(reader, counted, seen_s))
        begin_s = time.monotonic()
        behind_s = await _send(producer, here, way, events, due_s, begin_s=begin_s, rate=rate)
        seconds = time.monotonic() - begin_s
        async with asyncio.timeout(PATIENCE_S):
            await reading
    took_ms = sorted((seen_s[leg_id] - due_s[leg_id]) * 1000 for leg_id in counted)
    return Latency(len(took_ms), seconds, at(took_ms, 0.5), at(took_ms, 0.9), at(took_ms, 0.99), took_ms[-1], behind_s * 1000)


def at(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of the ordered values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def _send(
    producer: AIOKafkaProducer, here: Site, way: Way, events: Sequence[LegEvent], due_s: dict[str, float], *, begin_s: float, rate: float
) -> float:
    worst_s, count = 0.0, here.settings.topics.partitions
    for number, event in enumerate(events):
        at_s = begin_s + number / rate
        if (wait_s := at_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        worst_s = max(worst_s, time.monotonic() - at_s)
        if way.decides(event):
            due_s.setdefault(event.leg_id, at_s)
        key = way.key(event)
        await producer.send(way.into, codec.encode(event), key=key, partition=partition_of(key, count))
    await producer.flush()
    return worst_s


async def _read(reader: AIOKafkaConsumer, counted: set[str], seen_s: dict[str, float]) -> None:
    decode = msgspec.json.Decoder(Ended).decode
    missing = set(counted)
    while missing:
        for records in (await reader.getmany(timeout_ms=100)).values():
            now_s = time.monotonic()
            for record in records:
                row = decode(record.value)
                if row.ended_ms is not None and row.leg_id in missing:
                    missing.discard(row.leg_id)
                    seen_s[row.leg_id] = now_s


def _producer(here: Site) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=here.settings.bootstrap, client_id="callverdict-bench", acks="all", linger_ms=0)
