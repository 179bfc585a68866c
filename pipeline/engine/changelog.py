"""A stage's state as Kafka keeps it: what the engine itself writes there, and reading it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from aiokafka import TopicPartition

from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import RESERVED, Step
from pipeline.engine.survey import reader
from pipeline.engine.writer import Position

PARTITIONS_KEY = RESERVED + b"partitions"
POSITION_KEY = RESERVED + b"position"


class Restored(msgspec.Struct, kw_only=True):
    """What reading a changelog gave: `end` is the offset read up to, the others are the engine's own records, if any."""

    records: int = 0
    end: int = 0
    partitions: int | None = None
    position: Position | None = None


class RepartitionedError(Exception):
    """The input has another number of partitions than when the state was written: keys have moved, the state has not."""

    def __init__(self, topic: str, changelog: str, before: int, now: int) -> None:
        super().__init__(
            f"{topic} has {now} partitions, the state in {changelog} was written for {before}: keys have moved between partitions. "
            f"Set the old number of partitions up again, or create new topics with {now} partitions and replay the input into them under a new app id"
        )


def position_record(position: Position) -> Record:
    """The committed position again, in the state itself: offsets that expired or were reset cannot count anything twice."""
    return POSITION_KEY, msgspec.json.encode(position), ()


def partitions_record(partitions: int) -> Record:
    return PARTITIONS_KEY, b"%d" % partitions, ()


async def read_changelog(
    settings: EngineSettings, place: TopicPartition, step: Step, *, pause: Callable[[], Awaitable[bool]]
) -> Restored | None:
    """Feed a changelog partition to the step, to the end that it has now. None if `pause`, asked now and then, says stop."""
    restored = Restored()
    async with reader(settings) as consumer:
        consumer.assign([place])
        restored.end = (await consumer.end_offsets([place]))[place]
        await consumer.seek_to_beginning(place)
        while await consumer.position(place) < restored.end:
            if not await pause():
                return None
            for records in (await consumer.getmany(place, timeout_ms=100)).values():
                restored.records += len(records)
                _apply(records, step, restored)
    return restored


def _apply(records: Sequence[ConsumerRecord], step: Step, restored: Restored) -> None:
    restore = step.restore
    for record in records:
        key = record.key or b""
        if key[:1] == RESERVED:
            _apply_own(key, record.value or b"", restored)
        else:
            restore(key, record.value)


def _apply_own(key: bytes, value: bytes, restored: Restored) -> None:
    if key == PARTITIONS_KEY:
        restored.partitions = int(value)
    elif key == POSITION_KEY:
        restored.position = msgspec.json.decode(value, type=Position)


def check_partitions(restored: Restored, topic: str, changelog: str, counts: Mapping[str, int]) -> None:
    """Raises RepartitionedError when the state was written for another number of partitions."""
    now = counts[topic]
    if restored.partitions is not None and restored.partitions != now:
        raise RepartitionedError(topic, changelog, restored.partitions, now)
    if counts[changelog] != now:
        raise RepartitionedError(topic, changelog, counts[changelog], now)
