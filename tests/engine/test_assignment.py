"""How partitions come and go: restoring, waiting for each other, stalling, moving to another worker."""

from __future__ import annotations

import asyncio
from itertools import takewhile

import pytest

from tests.engine.conftest import StartWorker
from tests.engine.job import FaultPlan
from tests.engine.view import View, numbered

pytestmark = pytest.mark.kafka


async def test_a_restore_longer_than_the_session_comes_through(view: View, start: StartWorker) -> None:
    await view.create(partitions=1)
    await view.write("in", numbered(300, partitions=1))
    worker = start(instance_id="one")
    await view.drained()
    await worker.stop()
    await view.write("in", numbered(300, partitions=1, first=300))
    worker = start(FaultPlan("while_restoring", seconds=15.0), instance_id="one")
    await worker.until(lambda status: bool(status["partitions"]) and status["partitions"][0]["state"] == "restoring")
    assert not (await worker.status() or {})["ready"]
    status = await worker.ready()
    assert status["partitions"][0]["restored_s"] > 15
    assert status["partitions"][0]["restored_records"] > 100
    await view.drained()
    await view.assert_counted_once()
    assert worker.log.count("partitions.assigned") == 1, "the group must not have taken the partition away"


async def test_no_chunk_before_every_partition_of_the_stage_is_opened(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(400))
    start(FaultPlan("after_begin", topic=view.topic("in"), partition=2, seconds=1.5))
    await view.drained()
    words = [record.value.split()[0] for record in await view.read("marks")]
    assert len(list(takewhile(lambda word: word == b"opened", words))) == 4
    assert words.count(b"opened") == 4
    assert b"chunk" in words


async def test_a_stalled_partition_does_not_slow_the_others(view: View, start: StartWorker) -> None:
    await view.create()
    stalled = FaultPlan("after_send", nth=2, topic=view.topic("in"), partition=0, seconds=4.0)
    worker = start(stalled, chunk_records=100, fetch_bytes=20_000)
    await worker.ready()
    await view.write("in", numbered(20_000))
    async with asyncio.timeout(3.5):
        while sum(list((await view.lags("in")).values())[1:]):  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.1)
    assert (await view.lags("in"))[0] > 4_000, "the stalled partition must still be behind, or nothing was stalled"
    held = (await worker.status() or {})["partitions"][0]
    assert 200 <= held["queued_records"] < 1_000
    await view.drained()
    await view.assert_counted_once()


async def test_workers_share_and_take_back_partitions_without_restoring_what_they_kept(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(2_000))
    first = start()
    await view.drained()
    second = start()
    await second.ready()
    await first.until(lambda status: bool(status["ready"]) and len(status["partitions"]) == 2)
    await view.write("in", numbered(2_000, first=2_000))
    await view.drained()
    assert await second.stop() == 0
    status = await first.until(lambda status: bool(status["ready"]) and len(status["partitions"]) == 4)
    assert sorted(partition["restored_records"] > 0 for partition in status["partitions"]) == [False, False, True, True]
    await view.write("in", numbered(2_000, first=4_000))
    await view.drained()
    await view.assert_counted_once()


async def test_a_changed_number_of_partitions_is_refused(view: View, start: StartWorker) -> None:
    await view.create(partitions=2)
    await view.write("in", numbered(100, partitions=2))
    worker = start()
    await view.drained()
    await worker.stop()
    await view.grow("in", 3)
    worker = start()
    assert await worker.ended() == 2
    assert "has 3 partitions" in worker.log
    await view.grow("state", 3)
    worker = start()
    assert await worker.ended() == 2
    assert "was written for 2" in worker.log
    assert "replay the input" in worker.log


async def test_offsets_that_were_set_back_count_nothing_twice(view: View, start: StartWorker) -> None:
    """The state knows its position; a group whose offsets expired or were reset does not."""
    await view.create()
    await view.write("in", numbered(1_000))
    worker = start()
    await view.drained()
    assert await worker.stop() == 0
    await view.reset("in", 0)
    await view.write("in", numbered(1_000, first=1_000))
    worker = start()
    await view.drained()
    assert worker.log.count("offset.disagrees") == 4
    await view.assert_counted_once()
