"""One owned input partition and its task: restore, open, then a transaction per chunk until it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from aiokafka import TopicPartition

from pipeline.engine import clock
from pipeline.engine.barrier import Barrier
from pipeline.engine.changelog import (
    RepartitionedError,
    Restored,
    check_partitions,
    partitions_record,
    position_record,
    read_changelog,
)
from pipeline.engine.ending import Exit, Halt, end_process, log
from pipeline.engine.observer import Fault, Observer, PartitionStatus, State
from pipeline.engine.queue import ChunkQueue
from pipeline.engine.records import Chunk, GapError, Record
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Batch, Stage, Step
from pipeline.engine.survey import patiently
from pipeline.engine.writer import Position, Writer

NOTHING = Batch()


class Source(Protocol):
    """What a partition needs of the consumer that reads it."""

    def hold(self, place: TopicPartition) -> None:
        """Fetch nothing more from this partition for now; what was fetched still comes."""

    def release(self, place: TopicPartition) -> None:
        """Fetch again."""

    def read_to_end(self, place: TopicPartition, offset: int) -> bool:
        """Nothing lies at or after `offset`, as a recent fetch saw it."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What all partitions of a worker share."""

    settings: EngineSettings
    observer: Observer
    fault: Fault
    source: Source
    counts: Mapping[str, int]


class Kept(msgspec.Struct, frozen=True):
    """A closed partition's state, good for as long as position and changelog stand where they stood."""

    step: Step
    position: Position | None
    changelog_end: int


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What an assignment brings for one partition: where it stands, where its log begins and ends."""

    place: TopicPartition
    generation: int
    committed: Position | None
    begin: int
    end: int
    changelog_end: int
    kept: Kept | None


class Partition:
    def __init__(self, stage: Stage, assignment: Assignment, writer: Writer, barrier: Barrier, around: Surroundings) -> None:
        self.place: TopicPartition = assignment.place
        self.generation = assignment.generation
        self._stage = stage
        self._assignment = assignment
        self._writer = writer
        self._barrier = barrier
        self._around = around
        self._state: State = "opening"
        self._restored = Restored()
        self._restored_s = 0.0
        self._transaction_s = 0.0
        self._committed = assignment.committed
        self._next = max(assignment.begin, assignment.committed.offset if assignment.committed else 0)
        self._metadata = assignment.committed.metadata if assignment.committed else ""
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

    def status(self) -> PartitionStatus:
        return PartitionStatus(
            stage=self._stage.name,
            topic=self.place.topic,
            partition=self.place.partition,
            state=self._state,
            restored_records=self._restored.records,
            restored_s=self._restored_s,
            next_offset=self._next,
            queued_records=self._queue.records,
            transaction_s=self._transaction_s,
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
                    await self._task
                await self._writer.stop()
        except TimeoutError:
            self._end(Exit.CRASH, "partition.hung", advice="the transaction in flight did not end; it is taken up again after a restart")
        if not complete or self._step is None or self._stage.changelog is None:
            return None
        return Kept(self._step, self._committed, self._restored.end)

    # -- the task

    async def _live(self) -> None:
        try:
            step = await self._open()
            while step is not None and not self._closing():
                await self._turn(step)
        except Halt as reason:
            self._end(Exit.HALTED, "worker.halted", reason=str(reason))
        except RepartitionedError as error:
            self._end(Exit.SETUP, "partitions.changed", problem=str(error))
        except GapError as gap:
            self._end(
                Exit.CRASH, "records.skipped", problem=str(gap), advice="nothing was committed; a restart reads from the committed offset"
            )
        except BaseException as error:  # noqa: BLE001  cancellation included: memory may be ahead of the log
            self._end(
                Exit.CRASH,
                "partition.failed",
                error=repr(error),
                advice="nothing was committed; a restart takes up from the last commit",
                exc_info=True,
            )

    def _closing(self) -> bool:
        return self._state == "closing"

    def _end(self, code: Exit, event: str, **facts: Any) -> None:
        self._around.observer.stopped(event)
        end_process(
            code, event, stage=self._stage.name, topic=self.place.topic, partition=self.place.partition, next_offset=self._next, **facts
        )

    async def _open(self) -> Step | None:
        """The step, restored and opened as all others of its stage; None if the partition is closed meanwhile."""
        step = self._step = await self._restore()
        if step is None or self._closing():
            return None
        batch = step.opened(backlog=self._next < self._assignment.end) or NOTHING
        position = self._position(self._next, batch)
        await self._write(batch, position if position != self._committed else None, records=0)
        self._barrier.arrive()
        if not self._closing():
            self._state = "waiting"
            await self._barrier.wait()
        if not self._closing():
            self._state = "running"
        return step

    async def _restore(self) -> Step | None:
        """The step with its state; None if the partition is closed meanwhile."""
        if (kept := self._assignment.kept) is not None:
            self._restored.end, self._restored.partitions = kept.changelog_end, self._around.counts[self.place.topic]
            return kept.step
        self._state = "restoring"
        begin_s = clock.elapsed_s()
        step = await patiently(self._read, what="restoring", patience_s=None)
        if step is not None:
            step.restored(self._metadata)
            self._restored_s = clock.elapsed_s() - begin_s
            self._around.observer.restored(
                self._stage.name, self.place.topic, self.place.partition, self._restored.records, self._restored_s
            )
        return step

    async def _read(self) -> Step | None:
        step = self._stage.open(self.place.topic, self.place.partition, self._around.counts)
        if (changelog := self._stage.changelog) is None:
            return step
        restored = await read_changelog(
            self._around.settings, TopicPartition(changelog, self.place.partition), step, pause=self._pause_restoring
        )
        if restored is None:
            return None
        check_partitions(restored, self.place.topic, changelog, self._around.counts)
        self._restored = restored
        self._reconcile(restored.position)
        return step

    async def _pause_restoring(self) -> bool:
        await self._around.fault("while_restoring", self.place.topic, self.place.partition)
        return not self._closing()

    def _reconcile(self, known: Position | None) -> None:
        """State and group should agree on the position. Where the group is behind (expired, reset) the state is right."""
        offset = -1 if self._committed is None else self._committed.offset
        if known is None or known.offset == offset:
            return
        log.warning("offset.disagrees", topic=self.place.topic, partition=self.place.partition, committed=offset, state=known.offset,
                    advice="the larger one counts; to read again from an earlier offset use a new app id")  # fmt: skip
        if known.offset > offset:
            self._next, self._metadata = max(self._next, known.offset), known.metadata

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
        chunk = None if self._closing() else self._queue.take(self._next)
        if chunk is None:
            return
        batch = step.chunk(chunk.records) if chunk.records else NOTHING
        await self._write(batch, self._position(chunk.end, batch), records=len(chunk.records))

    async def _tick(self, step: Step) -> None:
        self._next_tick_s = clock.elapsed_s() + self._around.settings.tick_s
        if not self._around.source.read_to_end(self.place, self._next):
            return
        if batch := step.tick(clock.now_ms()):
            await self._write(batch, None, records=0)

    def _position(self, offset: int, batch: Batch) -> Position:
        return Position(offset, self._metadata if batch.metadata is None else batch.metadata)

    async def _write(self, batch: Batch, position: Position | None, *, records: int) -> None:
        """Commit a batch; without content and position nothing happens."""
        begin_s = clock.elapsed_s()
        content = self._content(batch, position)
        if content or position:
            ends = await self._writer.write(content, position)
            self._restored.end = ends.get((self._stage.changelog or "", self.place.partition), self._restored.end)
            self._settle(position)
            self._transaction_s = clock.elapsed_s() - begin_s
            self._around.observer.transaction(self._stage.name, self.place.topic, self.place.partition, records, self._transaction_s)
        self._next_tick_s = clock.elapsed_s() + self._around.settings.tick_s

    def _settle(self, position: Position | None) -> None:
        if position is not None:
            self._committed, self._next, self._metadata = position, position.offset, position.metadata

    def _content(self, batch: Batch, position: Position | None) -> Mapping[tuple[str, int], Sequence[Record]]:
        """The outputs and, where the stage has one, the changelog with the engine's own records."""
        if self._stage.changelog is None:
            return batch.outputs
        own: list[Record] = [] if position is None else [position_record(position)]
        if self._restored.partitions is None:
            self._restored.partitions = self._around.counts[self.place.topic]
            own.append(partitions_record(self._restored.partitions))
        changes: list[Record] = [(key, value, ()) for key, value in batch.changes]
        if not changes and not own:
            return batch.outputs
        return {**batch.outputs, (self._stage.changelog, self.place.partition): changes + own}
