"""The engine's parts without a broker: chunks, their queue, the barrier, the scheduler, the limits."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP

from pipeline.engine import clock
from pipeline.engine.barrier import Barrier
from pipeline.engine.driver import ChunkScheduler, next_look_s
from pipeline.engine.engine import Engine
from pipeline.engine.observer import SilentObserver, no_fault
from pipeline.engine.pace import Pace
from pipeline.engine.queue import ChunkQueue
from pipeline.engine.quiet import FloodLimit
from pipeline.engine.records import Chunk, GapError, continued, joined, sliced
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import BATCH_BYTES, MAX_RECORD_BYTES, Stage, record_bytes
from pipeline.engine.survey import setup_problems
from pipeline.engine.writer import Writer


def chunk(start: int, end: int, *offsets: int) -> Chunk:
    records: Any = [SimpleNamespace(offset=offset) for offset in offsets]
    return Chunk(topic="t", partition=0, generation=1, start=start, end=end, records=records)


def shape(found: Chunk | None) -> tuple[int, int, list[int]] | None:
    return None if found is None else (found.start, found.end, [record.offset for record in found.records])


def test_slices_follow_each_other_and_reach_the_end_of_the_fetch() -> None:
    fetch = chunk(10, 20, 11, 12, 14, 15, 16)  # 10, 13 and 17 to 19 are markers or aborted
    assert [shape(part) for part in sliced(fetch, 2)] == [(10, 13, [11, 12]), (13, 16, [14, 15]), (16, 20, [16])]
    assert [shape(part) for part in sliced(fetch, 5)] == [(10, 20, [11, 12, 14, 15, 16])]
    assert [shape(part) for part in sliced(chunk(10, 12), 2)] == [(10, 12, [])]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (10, (10, 20, [12, 15])),
        (12, (12, 20, [12, 15])),
        (13, (13, 20, [15])),
        (16, (16, 20, [])),
        (20, None),
        (25, None),
    ],
)
def test_an_overlap_is_trimmed(position: int, expected: tuple[int, int, list[int]] | None) -> None:
    assert shape(continued(chunk(10, 20, 12, 15), position)) == expected


def test_a_gap_is_an_error_even_where_offsets_have_holes() -> None:
    with pytest.raises(GapError, match="expected offset 9, got 10"):
        continued(chunk(10, 20, 12), 9)


def test_joined_chunks_are_one() -> None:
    assert shape(joined(chunk(10, 13, 11), chunk(13, 20, 15))) == (10, 20, [11, 15])


def _queue(calls: list[str]) -> ChunkQueue:
    return ChunkQueue(2, hold=lambda: calls.append("hold"), release=lambda: calls.append("release"))


async def test_the_queue_holds_above_two_chunks_and_releases_below_one() -> None:
    calls: list[str] = []
    queue = _queue(calls)
    for start in range(0, 10, 2):
        queue.put(chunk(start, start + 2, start, start + 1))
    assert calls == ["hold"]
    taken = [shape(queue.take(position)) for position in (0, 2, 4, 6)]
    assert taken == [(0, 2, [0, 1]), (2, 4, [2, 3]), (4, 6, [4, 5]), (6, 8, [6, 7])]
    assert calls == ["hold"]
    assert shape(queue.take(8)) == (8, 10, [8, 9])
    assert calls == ["hold", "release"]
    assert not queue


async def test_the_queue_joins_what_fits_and_skips_what_was_seen() -> None:
    queue = _queue([])
    for part in (chunk(0, 2, 0), chunk(0, 3, 0, 2), chunk(3, 5), chunk(5, 6, 5), chunk(6, 7, 6)):
        queue.put(part)
    assert shape(queue.take(2)) == (2, 6, [2, 5])
    assert shape(queue.take(6)) == (6, 7, [6])
    assert queue.take(7) is None


async def test_the_queue_finds_a_gap_between_its_chunks() -> None:
    queue = _queue([])
    queue.put(chunk(0, 2, 0))
    queue.put(chunk(3, 4, 3))
    with pytest.raises(GapError, match="expected offset 2, got 3"):
        queue.take(0)


async def test_the_barrier_waits_for_all_or_for_one_that_gives_up() -> None:
    barrier = Barrier(2)
    waiter = asyncio.ensure_future(barrier.wait())
    barrier.arrive()
    await asyncio.sleep(0)
    assert not waiter.done()
    barrier.arrive()
    await asyncio.wait_for(waiter, 1)
    left = Barrier(2)
    left.give_up()
    await asyncio.wait_for(left.wait(), 1)


def test_chunks_come_round_robin_over_the_partitions_together_by_topic() -> None:
    scheduler = ChunkScheduler()
    scheduler.chunk_records = 1
    fetches = {TP("t", 0): chunk(0, 3, 0, 1, 2), TP("t", 1): chunk(7, 8, 7), TP("u", 0): msgspec.structs.replace(chunk(4, 5, 4), topic="u")}
    assert [(place, [part.start for part in parts]) for place, parts in scheduler.iterate(fetches)] == [
        (TP("t", 0), [0, 7]),
        (TP("u", 0), [4]),
        (TP("t", 0), [1]),
        (TP("t", 0), [2]),
    ]


def test_the_log_says_how_many_lines_were_left_out() -> None:
    limit = FloodLimit(lines=2, window_s=1_000.0)
    seen = [limit.filter(_line("Connection failed")) for _ in range(5)]
    assert seen == [True, True, False, False, False]
    assert limit.filter(_line("another message"))
    short = FloodLimit(lines=1, window_s=0.0)
    assert all(short.filter(_line("Connection failed")) for _ in range(3))
    passed = FloodLimit(lines=2, window_s=0.05)
    for _ in range(5):
        passed.filter(_line("Connection failed"))
    asyncio.run(asyncio.sleep(0.06))
    late = _line("Connection failed")
    assert passed.filter(late)
    assert late.getMessage() == "Connection failed [3 more of these were left out]"


def _line(message: str) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.conn", logging.ERROR, __file__, 1, message, None, None)


async def test_the_largest_record_fits_a_batch_and_a_larger_one_is_refused_before_sending() -> None:
    writer = Writer(EngineSettings(bootstrap="127.0.0.1:1", app_id="a"), "t", 0, no_fault)
    try:
        largest = (b"k" * 100, b"v" * (MAX_RECORD_BYTES - 100 - 20 - 4 - 50), [("h", b"x" * 50)])
        assert record_bytes(largest) == MAX_RECORD_BYTES
        (batch,) = writer._batches("t", [largest])
        assert batch.size() <= BATCH_BYTES
        with pytest.raises(ValueError, match="write a dead letter instead"):
            list(writer._batches("t", [(None, b"v" * (BATCH_BYTES + 1), ())]))
    finally:
        await _close(writer._producer)


async def test_records_are_spread_over_batches_in_order_and_none_is_lost() -> None:
    writer = Writer(EngineSettings(bootstrap="127.0.0.1:1", app_id="a"), "t", 0, no_fault)
    try:
        batches = list(writer._batches("t", [(b"%d" % n, b"v" * 400_000, ()) for n in range(5)]))
        assert [batch.record_count() for batch in batches] == [2, 2, 1]
    finally:
        await _close(writer._producer)


async def _close(producer: AIOKafkaProducer) -> None:
    producer._closed = True
    await producer.client.close()


def _stage(**changes: Any) -> Stage:
    return Stage(**{"name": "s", "topics": ("in",), "changelog": "state", "outputs": ("out",), "open": lambda *_: None, **changes})


def test_setup_problems_are_told_all_at_once() -> None:
    assert setup_problems([_stage()], {"in": 4, "state": 4, "out": 1}) == []
    problems = setup_problems([_stage()], {"in": 4, "state": 3})
    assert len(problems) == 2
    assert "topic out does not exist" in problems[0]
    assert "in has 4 partitions and its changelog state has 3" in problems[1]


def test_impossible_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="exactly one topic"):
        _stage(topics=("a", "b"))
    with pytest.raises(ValueError, match="topic in is read by the stages s and other"):
        Engine(EngineSettings(bootstrap="b", app_id="a"), [_stage(), _stage(name="other")], SilentObserver(), no_fault)


def _begins(pace: Pace, *comings_s: float) -> list[float]:
    """When the transactions begin that take records which come at these times."""
    begins = []
    for since_s in comings_s:
        begins.append(max(since_s, pace.next_s(since_s)))
        pace.begin(begins[-1])
    return begins


@pytest.mark.parametrize(
    ("lingers", "phase", "comings_s", "expected_s"),
    [
        (1.0, 0.0, (10.02,), [10.025]),  # quiet: at once, with what comes right behind
        (1.0, 0.0, (10.02, 10.03, 10.05), [10.025, 10.1, 10.2]),  # busy: at the beats, which are multiples of 0.1 s
        (1.0, 0.0, (10.0985, 10.0985), [10.1035, 10.2]),  # a timer that rings early has rung at its beat
        (1.0, 0.3, (10.02, 10.027, 10.04), [10.025, 10.032, 10.13]),  # its beat is at 10.03: one before it, one behind
        (5.0, 0.0, (10.02, 10.03), [10.025, 10.5]),
    ],
)
def test_transactions_begin_at_beats(lingers: float, phase: float, comings_s: tuple[float, ...], expected_s: list[float]) -> None:
    stage = Stage(name="s", topics=("t",), open=lambda *_: pytest.fail("not opened"), lingers=lingers, phase=phase)
    assert _begins(Pace(stage, 0.1), *comings_s) == pytest.approx(expected_s)


def test_without_a_linger_nothing_waits() -> None:
    stage = Stage(name="s", topics=("t",), open=lambda *_: pytest.fail("not opened"))
    assert _begins(Pace(stage, 0.0), 10.02, 10.02, 10.03) == [10.02, 10.02, 10.03]


async def test_waiting_for_a_beat_ends_when_there_is_enough() -> None:
    queue = _queue([])
    queue.put(chunk(0, 1, 0))
    waiter = asyncio.ensure_future(queue.filled(clock.elapsed_s() + 60))
    await asyncio.sleep(0.01)
    assert not waiter.done()
    queue.put(chunk(1, 2, 1))
    await asyncio.wait_for(waiter, 1)
    await asyncio.wait_for(queue.filled(clock.elapsed_s() + 60), 1)  # and does not begin where there is
    waiter = asyncio.ensure_future(_queue([]).filled(clock.elapsed_s() + 0.01))
    await asyncio.wait_for(waiter, 1)


def test_little_is_followed_by_a_pause_that_ends_at_the_beat() -> None:
    settings = EngineSettings(bootstrap="b:1", app_id="a", linger_s=0.1, fetch_pause_s=0.04)
    assert [next_look_s(now_s, settings) for now_s in (10.0, 10.03, 10.08)] == pytest.approx([10.04, 10.07, 10.1])
    assert next_look_s(10.03, msgspec.structs.replace(settings, linger_s=0.0)) == 10.03
