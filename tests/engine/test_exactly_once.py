"""Workers die in the middle of work; seen from outside every record counts once."""

from __future__ import annotations

import asyncio
import signal
from typing import get_args

import pytest

from pipeline.engine.observer import FaultPoint
from tests.engine.conftest import StartWorker
from tests.engine.job import FaultPlan
from tests.engine.view import View, numbered

pytestmark = pytest.mark.kafka

ORDER: tuple[FaultPoint, ...] = get_args(FaultPoint)


async def test_two_kills_in_the_middle_of_work(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(60_000))
    lag = await view.lag()
    first, second = (start(copy_too=True, chunk_records=200, instance_id=name) for name in ("a", "b"))
    for victim, replacement in ((first, "a"), (second, "b")):
        lag = await _less(view, lag)
        victim.kill()
        start(copy_too=True, chunk_records=200, instance_id=replacement)
    assert lag > 0, "the kills must fall into the work"
    await view.drained(("in", "out"), within_s=60)
    await view.assert_counted_once(copied=True)


async def _less(view: View, than: int) -> int:
    """The lag, once it has fallen: work is going on."""
    async with asyncio.timeout(40):
        while (now := await view.lag()) >= than:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.02)
    return now


async def test_a_kill_at_each_step_of_a_transaction(view: View, start: StartWorker) -> None:
    """Each worker dies once at one point, on the stage with state or on the one that reads its output, and is replaced."""
    await view.create()
    await view.write("in", numbered(500))
    worker = start(copy_too=True, instance_id="one")
    await view.drained(("in", "out"))
    worker.kill()
    for number, point in enumerate(ORDER):
        topic = view.topic("in" if number % 2 == 0 else "out")
        worker = start(FaultPlan(point, nth=2, topic=topic), copy_too=True, instance_id="one")
        await view.write("in", numbered(500, first=500 * (number + 1)))
        assert await worker.ended() == -9, point
    start(copy_too=True, instance_id="one")
    await view.drained(("in", "out"))
    await view.assert_counted_once(copied=True)


async def test_a_worker_that_was_frozen_past_its_session_is_fenced(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(40_000))
    frozen, other = start(chunk_records=50), start(chunk_records=50)
    await frozen.ready()
    await other.ready()
    await _less(view, await view.lag())
    frozen.process.send_signal(signal.SIGSTOP)
    await other.until(lambda status: bool(status["ready"]) and len(status["partitions"]) == 4)
    assert await view.lag() > 0, "it must have been in the middle"
    frozen.process.send_signal(signal.SIGCONT)
    await view.drained(within_s=60)
    await view.assert_counted_once()
    assert frozen.process.poll() in (None, 1)


async def test_our_own_bug_ends_the_process_and_commits_nothing_of_its_chunk(view: View, start: StartWorker) -> None:
    await view.create(partitions=1)
    worker = start(instance_id="one")
    await worker.ready()
    await view.write("in", [(0, b"k", b"fine"), (0, b"k", b"bug")])
    assert await worker.ended() == 1
    assert "partition.failed" in worker.log
    assert "ZeroDivisionError" in worker.log
    assert "observer: stopped by partition.failed" in worker.log
    assert await view.read("out") == []


async def test_a_halt_is_told_from_a_crash(view: View, start: StartWorker) -> None:
    await view.create(partitions=1)
    worker = start()
    await worker.ready()
    await view.write("in", [(0, b"k", b"poison")])
    assert await worker.ended() == 3
    assert "take it out and start again" in worker.log
    assert await view.lags("in") == {0: 1}
