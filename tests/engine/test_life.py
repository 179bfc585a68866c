"""The worker as a process: ticks, its end, and what it refuses."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from itertools import pairwise

import pytest

from tests.engine.conftest import StartWorker
from tests.engine.view import View, numbered

pytestmark = pytest.mark.kafka


async def test_ticks_come_while_a_partition_is_idle_and_move_no_offset(view: View, start: StartWorker) -> None:
    await view.create(partitions=2)
    worker = start(tick_s=0.5)
    await worker.ready()
    await asyncio.sleep(2.0)
    ticks = [
        int(record.value.split()[1]) for record in await view.read("marks") if record.value.startswith(b"tick") and record.key == b"in/0"
    ]
    assert 2 <= len(ticks) <= 5
    assert all(400 <= later - earlier <= 1_500 for earlier, later in pairwise(ticks))
    assert await view.committed("in") == {0: 0, 1: 0}


async def test_the_observer_sees_each_record_once(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(1_000))
    worker = start(copy_too=True, chunk_records=100)
    await view.drained(("in", "out"))
    seen = (await worker.until(lambda status: status["seen"]["copy.records"] == 1_000))["seen"]
    assert seen["count.records"] == 1_000
    assert seen["count.transactions"] >= 4 + 10
    assert seen["count.restored"] == 0


async def test_no_tick_overtakes_records_that_wait(view: View, start: StartWorker) -> None:
    await view.create(partitions=1)
    await view.write("in", numbered(5_000, partitions=1))
    start(tick_s=0.05, chunk_records=50)
    await view.drained()
    words = [record.value.split()[0] for record in await view.read("marks")]
    assert b"tick" not in words[: len(words) - words[::-1].index(b"chunk")]


async def test_no_tick_while_a_transaction_is_open_on_the_input(view: View, start: StartWorker) -> None:
    """Its records are there, and older than the tick, but not readable yet."""
    await view.create(partitions=2)
    worker = start(tick_s=0.2)
    await worker.ready()
    async with view.open_transaction("in", 0):
        await asyncio.sleep(0.5)
        before = await _ticks(view)
        await asyncio.sleep(1.0)
        during = await _ticks(view)
    assert during[b"in/0"] == before[b"in/0"]
    assert during[b"in/1"] >= before[b"in/1"] + 3
    await view.drained()
    await asyncio.sleep(0.6)
    assert (await _ticks(view))[b"in/0"] > during[b"in/0"]
    await view.assert_counted_once()


async def _ticks(view: View) -> Counter[bytes]:
    return Counter(record.key for record in await view.read("marks") if record.value.startswith(b"tick"))


async def test_sigterm_in_the_middle_of_work_ends_cleanly(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(40_000))
    worker = start(chunk_records=100, instance_id="one")
    await worker.ready()
    await asyncio.sleep(0.2)
    assert await worker.stop(within_s=10) == 0
    assert await view.lag() > 0, "it must have been in the middle"
    start(instance_id="one")
    await view.drained()
    await view.assert_counted_once()


async def test_sigterm_while_starting_ends_cleanly(view: View, start: StartWorker) -> None:
    await view.create()
    worker = start()
    await worker.until(lambda _: True)
    assert await worker.stop(within_s=10) == 0


async def test_missing_topics_are_told_before_anything_starts(view: View, start: StartWorker) -> None:
    worker = start()
    assert await worker.ended() == 2
    for name in ("in", "out", "state", "marks"):
        assert f"topic {view.topic(name)} does not exist" in worker.log


async def test_a_taken_web_port_is_told(view: View, start: StartWorker) -> None:
    await view.create()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = start(web_port=taken.getsockname()[1])
        assert await worker.ended() == 2
    assert "choose another web port" in worker.log
