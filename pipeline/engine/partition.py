"""One owned input partition and its task: restore, open, then a transaction per chunk until it is closed."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from pipeline.engine import clock
from pipeline.engine.assignment import Assignment, Kept, Surroundings
from pipeline.engine.barrier import Barrier
from pipeline.engine.changelog import RepartitionedError, Restored, read_changelog
from pipeline.engine.ending import Exit, Halt, end_process
from pipeline.engine.ledger import Ledger
from pipeline.engine.observer import PartitionStatus, State
from pipeline.engine.queue import ChunkQueue
from pipeline.engine.records import Chunk, GapError
from pipeline.engine.step import Batch, Stage, Step
from pipeline.engine.survey import patiently
from pipeline.engine.writer import Position, Writer

NOTHING = Batch()
AGAIN = "nothing of it was committed; a restart takes up from the last commit"
ADVICE: dict[type[BaseException], tuple[Exit, str, str]] = {
    Halt: (Exit.HALTED, "worker.halted", "nothing of the chunk was committed; mend the cause, then start again"),
    RepartitionedError: (Exit.SETUP, "partitions.changed", "this worker does not start before that is mended"),
    GapError: (Exit.CRASH, "records.skipped", AGAIN),
    ProducerFenced: (Exit.CRASH, "partition.fenced", "another worker owns it by now; a restart joins the group again"),
}


class Partition:
    def __init__(self, stage: Stage, assignment: Assignment, writer: Writer, barrier: Barrier, around: Surroundings) -> None:
        self.place: TopicPartition = assignment.place
        self.generation = assignment.generation
        self._where: tuple[str, int] = (assignment.place.topic, assignment.place.partition)
        self._stage = stage
        self._assignment = assignment
        self._writer = writer
        self._barrier = barrier
        self._around = around
        self._state: State = "opening"
        self._ledger = Ledger(stage, assignment, around.counts)
        self._restored_records = 0
        self._restored_s = 0.0
        self._transaction_s = 0.0
        self._in_hand_ms: int | None = None  # the broker's time of the first record that is being committed
        self._next_tick_s = 0.0
        self._step: Step | None = None
        self._queue = ChunkQueue(
            around.settings.chunk_records,
            hold=lambda: around.source.hold(self.place),
            release=lambda: around.source.release(self.place),
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._state == "running"

    @property
    def step(self) -> Step | None:
        """The job, once it is restored."""
        return self._step if self.running else None

    def status(self) -> PartitionStatus:
        return PartitionStatus(
            stage=self._stage.name,
            topic=self.place.topic,
            partition=self.place.partition,
            state=self._state,
            restored_records=self._restored_records,
            restored_s=self._restored_s,
            next_offset=self._ledger.next_offset,
            queued_records=self._queue.records,
            transaction_s=self._transaction_s,
            oldest_ms=self._queue.first_ms if self._in_hand_ms is None else self._in_hand_ms,
        )

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._live())

    def put(self, chunk: Chunk) -> None:
        if self._state != "closing":
            self._queue.put(chunk)

    async def close(self) -> Kept | None:
        """Let the transaction in flight end, drop what waits, stop the producer. A close that hangs ends the process.

        Returns the state if it may be taken up again by `Assignment.kept`.
        """
        complete = self.running
        self._state = "closing"
        self._queue.clear()
        self._barrier.give_up()
        try:
            async with asyncio.timeout(self._around.settings.close_timeout_s):
                if self._task is not None:
                    await asyncio.shield(self._task)  # a timeout must not cancel it: it would tell of that instead
                await self._writer.stop()
        except TimeoutError:
            self._end(Exit.CRASH, "partition.hung", advice="the transaction in flight did not end; it is taken up again after a restart")
        if not complete or self._step is None or self._stage.changelog is None:
            return None
        return Kept(step=self._step, position=self._ledger.committed, restored=self._ledger.restored)

    # -- the task

    async def _live(self) -> None:
        try:
            step = await self._open()
            while step is not None and not self._closing():
                await self._turn(step)
        except BaseException as error:  # noqa: BLE001  cancellation included: memory may be ahead of the log
            code, event, advice = ADVICE.get(type(error), (Exit.CRASH, "partition.failed", AGAIN))
            self._end(code, event, reason=str(error) or repr(error), advice=advice, exc_info=event == "partition.failed")

    def _closing(self) -> bool:
        return self._state == "closing"

    def _end(self, code: Exit, event: str, **facts: Any) -> None:
        self._around.observer.stopped(event)
        end_process(
            code,
            event,
            stage=self._stage.name,
            topic=self.place.topic,
            partition=self.place.partition,
            next_offset=self._ledger.next_offset,
            **facts,
        )

    async def _open(self) -> Step | None:
        """The step, restored and opened as all others of its stage; None if the partition is closed meanwhile."""
        step = self._step = await self._restore()
        if step is None or self._closing():
            return None
        batch = step.opened(backlog=self._ledger.next_offset < self._assignment.end) or NOTHING
        position = self._ledger.position(self._ledger.next_offset, batch)
        await self._write(batch, position if position != self._ledger.committed else None, records=0)
        self._barrier.arrive()
        if not self._closing():
            self._state = "waiting"
            await self._barrier.wait()
        if not self._closing():
            self._state = "running"
            self._around.running()
        return step

    async def _restore(self) -> Step | None:
        """The step with its state; None if the partition is closed meanwhile."""
        if (kept := self._assignment.kept) is not None:
            self._ledger.take_up(kept.restored)
            return kept.step
        self._state = "restoring"
        begin_s = clock.elapsed_s()
        step = await patiently(self._read, what="restoring", patience_s=None)
        if step is not None:
            step.restored(self._ledger.metadata)
            self._restored_records, self._restored_s = self._ledger.restored.records, clock.elapsed_s() - begin_s
            self._around.observer.restored(self._stage.name, *self._where, self._restored_records, self._restored_s)
        return step

    async def _read(self) -> Step | None:
        step = self._stage.open(*self._where, self._around.counts)
        restored: Restored | None = Restored()
        if self._stage.changelog is not None:
            changelog = TopicPartition(self._stage.changelog, self.place.partition)
            restored = await read_changelog(self._around.settings, changelog, step, pause=self._pause_restoring)
        if restored is None:
            return None
        self._ledger.take_up(restored)
        return step

    async def _pause_restoring(self) -> bool:
        await self._around.fault("while_restoring", *self._where)
        return not self._closing()

    # -- a turn

    async def _turn(self, step: Step) -> None:
        if self._queue.records:
            if not self._queue.full:
                await asyncio.sleep(self._around.settings.linger_s)  # little there: fewer, larger transactions
            await self._commit_waiting(step)
        else:
            await self._idle(step)

    async def _idle(self, step: Step) -> None:
        rest_s = self._queue.since_s + self._around.settings.rest_s
        await self._queue.news(min(rest_s, self._next_tick_s) if self._queue else self._next_tick_s)
        if self._queue.records or self._closing():
            return
        if self._queue and clock.elapsed_s() >= self._queue.since_s + self._around.settings.rest_s:
            await self._commit_waiting(step)
        elif clock.elapsed_s() >= self._next_tick_s:
            await self._tick(step)

    async def _commit_waiting(self, step: Step) -> None:
        chunk = None if self._closing() else self._queue.take(self._ledger.next_offset)
        if chunk is None:
            return
        begin_s = clock.elapsed_s()
        self._in_hand_ms = chunk.records[0].timestamp if chunk.records else None
        batch = step.chunk(chunk.records) if chunk.records else NOTHING
        await self._write(batch, self._ledger.position(chunk.end, batch), records=len(chunk.records))
        self._in_hand_ms = None
        self._around.observer.chunk(self._stage.name, *self._where, len(chunk.records), clock.elapsed_s() - begin_s)

    async def _tick(self, step: Step) -> None:
        self._next_tick_s = clock.elapsed_s() + self._around.settings.tick_s
        if not self._around.source.read_to_end(self.place, self._ledger.next_offset):
            return
        if batch := step.tick(clock.now_ms()):
            await self._write(batch, None, records=0)

    async def _write(self, batch: Batch, position: Position | None, *, records: int) -> None:
        """Commit a batch; without content and position nothing happens."""
        begin_s = clock.elapsed_s()
        content = self._ledger.content(batch, position)
        if content or position:
            self._ledger.settle(position, await self._writer.write(content, position))
            self._transaction_s = clock.elapsed_s() - begin_s
            self._around.observer.transaction(self._stage.name, *self._where, records, self._transaction_s)
        if batch:  # records that told nothing must not keep time standing
            self._next_tick_s = clock.elapsed_s() + self._around.settings.tick_s
