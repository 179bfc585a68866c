"""The records of a fetch, as the engine takes them and as aiokafka would: the same ones, and the same position behind them."""

from __future__ import annotations

import random
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crc32c import crc as crc32c
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from pipeline.engine.fetched import committed_records

PLACE = TopicPartition("t", 0)
CONTROL = 1 << 5
ABORT, COMMIT = 0, 1


def batch(offset: int, count: int, *, producer: int = -1, marker: int | None = None, compressed: int = 0) -> bytes:
    """One batch as it stands in the log; `marker`: it ends that producer's transaction so."""
    is_plain = producer < 0
    builder = DefaultRecordBatchBuilder(
        2, compressed, is_transactional=not is_plain, producer_id=producer, producer_epoch=-1 if is_plain else 0,
        base_sequence=-1 if is_plain else 0, batch_size=1 << 20,
    )  # fmt: skip
    for number in range(count):
        key = b"k%d" % (offset + number) if marker is None else struct.pack(">hh", 0, marker)
        builder.append(number, 1_000 + offset + number, key=key, value=b"v" * (number % 7), headers=[("h", b"x")] if number % 3 else [])
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, offset)
    if marker is not None:
        (attributes,) = struct.unpack_from(">h", raw, 21)
        struct.pack_into(">h", raw, 21, attributes | CONTROL)
        struct.pack_into(">I", raw, 17, crc_of(bytes(raw[21:])))
    return bytes(raw)


def crc_of(content: bytes) -> int:
    number: int = crc32c(content)
    return number


def log(seed: int) -> tuple[bytes, list[tuple[int, int]], int]:
    """Return batches of several producers, plain and transactional, with holes; the aborted transactions; where it ends."""
    dice, raw, aborted, offset, opened = random.Random(seed), b"", [], 0, dict[int, int]()
    for _ in range(60):
        offset += dice.choice((0, 0, 0, 3))  # compacted away
        producer = dice.choice((-1, 1, 2, 3))
        if producer in opened and dice.random() < 0.4:
            marker = dice.choice((ABORT, COMMIT))
            if marker == ABORT:
                aborted.append((producer, opened[producer]))
            del opened[producer]
            raw, offset = raw + batch(offset, 1, producer=producer, marker=marker), offset + 1
        else:
            if producer >= 0:
                opened.setdefault(producer, offset)
            count = dice.randint(1, 9)
            raw, offset = raw + batch(offset, count, producer=producer), offset + count
    return raw, aborted, offset


def fetch_of(raw: bytes, aborted: list[tuple[int, int]], position: int) -> tuple[FetchResult, Any]:
    state = SimpleNamespace(paused=False, position=position)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    parts = PartitionRecords(PLACE, MemoryRecords(raw), list(aborted), position, None, None, True, READ_COMMITTED)
    return FetchResult(PLACE, assignment=assignment, partition_records=parts, backoff=0), state


def seen(records: list[Any]) -> list[tuple[Any, ...]]:
    return [(record.offset, record.timestamp, record.key, record.value, tuple(record.headers)) for record in records]


@pytest.mark.parametrize("seed", range(30))
def test_the_same_records_as_aiokafka_takes(seed: int) -> None:
    raw, aborted, end = log(seed)
    position = random.Random(seed).choice((0, 0, 5, end // 2))
    stock, stock_state = fetch_of(raw, aborted, position)
    ours, state = fetch_of(raw, aborted, position)
    expected = stock.getall()
    assert seen(committed_records(ours)) == seen(expected)
    assert state.position == stock_state.position == end
    assert len(expected) > 30
    assert not ours.has_more()


def test_a_fetch_that_is_out_of_date_gives_nothing_and_moves_nothing() -> None:
    fetch, state = fetch_of(batch(0, 3), [], 0)
    state.position = 17
    assert committed_records(fetch) == []
    assert state.position == 17


def test_a_damaged_batch_is_told() -> None:
    raw = bytearray(batch(0, 3) + batch(3, 3))
    raw[-1] ^= 1
    fetch, state = fetch_of(bytes(raw), [], 0)
    with pytest.raises(CorruptRecordException, match="look at the broker's disk"):
        committed_records(fetch)
    assert state.position == 0
