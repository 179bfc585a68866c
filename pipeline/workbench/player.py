"""A producer that plays recordings into a topic as a switch would: in order, in time, keyed by leg.

The plan is pure and has two passes over the files: `survey` finds when each record is due and by how much times may move, `play` tells,
sends and writes. Speed changes when records are sent, never the distances between the times in them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedIOBase
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.partitioner import DefaultPartitioner

from pipeline.app import broker
from pipeline.app.cluster import Brokers, clients
from pipeline.errors import CallverdictError
from pipeline.workbench.recording import opened_for_writing, own_id, own_time_us, records
from pipeline.workbench.retelling import Shift, moved, renamer

AT_ONCE = 0.0
IN_FLIGHT = 5_000
MAX_RECORD_BYTES = 16 * 1024 * 1024  # what a record may have is the topic's to say


class PlayError(CallverdictError):
    """A recording that cannot be played."""


class Timed(NamedTuple):
    """A record of a recording. `reached_us` is the latest time seen up to it in its file, so it never goes back."""

    reached_us: int
    own_us: int | None
    record: bytes


class Survey(NamedTuple):
    """What must be known before the first record is sent. All times are microseconds.

    slack_us: the least of (when a record is due after the start) - (its own time). Add the time of the start, and there is the most that
    times may move so that no record comes from the future.
    """

    records: int
    size_bytes: int
    first_us: int
    last_us: int
    slack_us: int


class Telling(NamedTuple):
    """How the recording is told: `speed` times as fast (AT_ONCE: without waiting), with times and ids new or kept."""

    speed: float = 1.0
    times: Literal["now", "keep"] = "now"
    ids: Literal["new", "keep"] = "new"
    seed: str = ""
    key: Literal["leg", "none"] = "leg"


class Sent(NamedTuple):
    """What was played. `seconds` is how long it took, `shift_s` by how much times were moved."""

    records: int
    size_bytes: int
    shift_s: int
    seconds: float


def timed(path: Path) -> Iterator[Timed]:
    """A file's records in its order. What has no time of its own, as garbage, is due with the record before it."""
    reached_us = 0
    for record in records(path):
        own_us = own_time_us(record)
        reached_us = max(reached_us, own_us or 0)
        yield Timed(reached_us, own_us, record)


def merged(paths: Sequence[Path]) -> Iterator[Timed]:
    """All files' records by time, each file's in its own order."""
    return heapq.merge(*map(timed, paths), key=lambda line: line.reached_us)


def due_us(reached_us: int, first_us: int, speed: float) -> int:
    """How long after the start a record is sent."""
    return 0 if speed == AT_ONCE or reached_us <= first_us else int((reached_us - first_us) / speed)


def survey(lines: Iterable[Timed], speed: float) -> Survey:
    """One pass over the merged records."""
    total = size_bytes = first_us = last_us = 0
    slack_us: int | None = None
    for line in lines:
        total += 1
        size_bytes += len(line.record)
        first_us = first_us or line.reached_us
        last_us = max(last_us, line.reached_us)
        if line.own_us is not None:
            spare_us = due_us(line.reached_us, first_us, speed) - line.own_us
            slack_us = spare_us if slack_us is None else min(slack_us, spare_us)
    return Survey(total, size_bytes, first_us, last_us, slack_us or 0)


def shift_of(found: Survey, telling: Telling, start_us: int) -> Shift:
    """One whole number of seconds for all times: the most that leaves no record later than its sending."""
    seconds = (start_us + found.slack_us) // 1_000_000 if telling.times == "now" and found.last_us else 0
    return Shift(seconds, found.last_us // 1_000_000)


def teller(telling: Telling, shift: Shift) -> Callable[[bytes], bytes]:
    """From a recorded record to the one that is sent."""
    renamed = renamer(telling.seed) if telling.ids == "new" else bytes
    return lambda record: renamed(moved(record, shift))


def partitioner() -> Callable[[bytes | None, list[int], list[int]], int]:
    """By murmur2 of the key as Kafka's own producers do; without a key in turn, so that the same play gives the same partitions."""
    turn = count()
    murmur2 = DefaultPartitioner()

    def partition(key: bytes | None, all_partitions: list[int], available: list[int]) -> int:
        return all_partitions[next(turn) % len(all_partitions)] if key is None else int(murmur2(key, all_partitions, available))

    return partition


class Output:
    """Writes each record once it was sent: at most IN_FLIGHT are under way."""

    def __init__(self, file: BufferedIOBase | None, on_sent: Callable[[int], None]) -> None:
        self._file = file
        self._on_sent = on_sent
        self._under_way: deque[tuple[asyncio.Future[object], bytes]] = deque()

    def written(self, record: bytes) -> None:
        if self._file is not None:
            self._file.write(record + b"\n")
        self._on_sent(len(record))

    async def under_way(self, future: asyncio.Future[object], record: bytes) -> None:
        self._under_way.append((future, record))
        while self._under_way and (self._under_way[0][0].done() or len(self._under_way) > IN_FLIGHT):
            await self._first()

    async def drained(self) -> None:
        while self._under_way:
            await self._first()

    async def _first(self) -> None:
        future, record = self._under_way.popleft()
        await future
        self.written(record)


async def play(
    paths: Sequence[Path],
    telling: Telling,
    *,
    bootstrap: Brokers | None = None,
    topic: str | None = None,
    out: Path | None = None,
    on_survey: Callable[[Survey], None] = lambda _: None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Play files into a topic, into a file, or both; without a topic nothing waits. `on_sent` hears each record's bytes.

    Raises PlayError, RecordingError, or aiokafka's KafkaConnectionError.
    """
    found = surveyed(paths, telling, out)
    on_survey(found)
    with ExitStack() as stack:
        output = Output(stack.enter_context(opened_for_writing(out)) if out else None, on_sent)
        if topic is None or bootstrap is None:
            return written(paths, telling, found, output)
        return await sent(paths, telling, found, output, bootstrap=bootstrap, topic=topic)


def surveyed(paths: Sequence[Path], telling: Telling, out: Path | None) -> Survey:
    if out is not None and out.resolve() in {path.resolve() for path in paths}:
        raise PlayError(f"{out} would overwrite a file that is played: give another --out")
    found = survey(merged(paths), telling.speed)
    if not found.records:
        raise PlayError(f"{', '.join(map(str, paths))}: no records: give files with one record a line, plain or gzip")
    return found


def written(paths: Sequence[Path], telling: Telling, found: Survey, output: Output) -> Sent:
    start_s = time.time()
    shift = shift_of(found, telling, int(start_s * 1_000_000))
    told = teller(telling, shift)
    for line in merged(paths):
        output.written(told(line.record))
    return Sent(found.records, found.size_bytes, shift.seconds, time.time() - start_s)


async def sent(paths: Sequence[Path], telling: Telling, found: Survey, output: Output, *, bootstrap: Brokers, topic: str) -> Sent:
    async with broker.admin(bootstrap) as client:
        if topic not in await broker.described(client):
            raise PlayError(f"the topic {topic} is missing: make it with `callverdict topics create`, or give another --topic")
    producer = AIOKafkaProducer(
        **clients(bootstrap), client_id="callverdict-play", acks="all", enable_idempotence=True, linger_ms=5,
        max_request_size=MAX_RECORD_BYTES, partitioner=partitioner(),
    )  # fmt: skip
    try:
        await producer.start()
        return await sending(paths, telling, found, output, producer, topic)
    except KafkaConnectionError:
        raise
    except KafkaError as error:
        raise PlayError(f"the broker refused a record for {topic} ({error}): see the topic's max.message.bytes and rights") from error
    finally:
        await producer.stop()


async def sending(paths: Sequence[Path], telling: Telling, found: Survey, output: Output, producer: AIOKafkaProducer, topic: str) -> Sent:
    start_s = time.time()
    shift = shift_of(found, telling, int(start_s * 1_000_000))
    told = teller(telling, shift)
    for line in merged(paths):
        wait_s = start_s + due_us(line.reached_us, found.first_us, telling.speed) / 1_000_000 - time.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        record = told(line.record)
        key = own_id(record) if telling.key == "leg" else None
        await output.under_way(await producer.send(topic, record, key=key), record)
    await output.drained()
    return Sent(found.records, found.size_bytes, shift.seconds, time.time() - start_s)
