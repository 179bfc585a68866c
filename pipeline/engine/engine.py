"""All partitions that this worker owns: opened when the group assigns them, closed when it takes them back."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from aiokafka import TopicPartition

from pipeline.engine.assignment import Assignment, Kept, Source, Surroundings
from pipeline.engine.barrier import Barrier
from pipeline.engine.ending import Exit, end_process, log
from pipeline.engine.observer import Fault, Observer, PartitionStatus
from pipeline.engine.partition import Partition
from pipeline.engine.records import Chunk
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Stage, Step
from pipeline.engine.survey import HOPELESS, Survey, partition_counts, patiently, setup_problems, survey
from pipeline.engine.writer import Writer


class Engine:
    """Not started itself: the consumer of `driver` calls `assigned` and `revoked`, each stage's Faust agent `hand_over`."""

    def __init__(self, settings: EngineSettings, stages: Sequence[Stage], observer: Observer, fault: Fault) -> None:
        self.settings = settings
        self.stages = {stage.name: stage for stage in stages}
        self.observer = observer
        self._fault = fault
        self._stage_of = _stages_by_topic(stages)
        self._partitions: dict[TopicPartition, Partition] = {}
        self._kept: dict[TopicPartition, Kept] = {}
        self._assigned = False
        self._being_closed = 0
        self._frozen = False
        self._ending = False

    # -- what the agents and the caller use

    def hand_over(self, chunk: Chunk) -> None:
        """Queue a chunk for its partition. A chunk that was fetched before the last rebalance is dropped: it comes again."""
        partition = self._partitions.get(TopicPartition(chunk.topic, chunk.partition))
        if partition is not None and partition.generation == chunk.generation:
            partition.put(chunk)

    def status(self) -> list[PartitionStatus]:
        """The owned partitions, sorted by topic and number."""
        return [partition.status() for _, partition in sorted(self._partitions.items())]

    def steps(self) -> list[tuple[TopicPartition, Step]]:
        """The jobs of the running partitions, to be looked at only."""
        return [(place, partition.step) for place, partition in sorted(self._partitions.items()) if partition.step is not None]

    @property
    def has_assignment(self) -> bool:
        """The group has said which partitions are this worker's, perhaps none."""
        return self._assigned

    def ready(self) -> bool:
        """The group has assigned this worker its partitions, perhaps none, and all of them are restored and running."""
        return self._assigned and all(partition.running for partition in self._partitions.values())

    def at_rest(self) -> bool:
        """No partition is open or being closed: nothing is in flight."""
        return not self._partitions and not self._being_closed

    def _on_running(self) -> None:
        """The first time that all is restored: what lives now lives long, the collector need not look at it again."""
        if self._frozen or not self.ready():
            return
        self._frozen = True
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)

    # -- what the consumer calls

    async def assigned(self, source: Source, places: Iterable[Any], generation: int) -> None:
        """Fence, ask for the final positions, start the partitions' tasks. Restoring is theirs: heartbeats wait for this."""
        if self._ending:
            return
        mine = sorted(TopicPartition(*place) for place in places if place[0] in self._stage_of)
        try:
            await self.close()
            writers = await asyncio.gather(*(self._fence(place) for place in mine))
            around = await self._look_around(source)
            found = await patiently(lambda: self._survey(mine), what="committed offsets", patience_s=self.settings.patience_s)
        except HOPELESS as error:
            end_process(Exit.SETUP, "broker.refuses", error=repr(error), advice="check the security settings and what this user may do")
        except BaseException as error:  # noqa: BLE001  half an assignment is none
            self.observer.stopped("assignment.failed")
            end_process(
                Exit.CRASH,
                "assignment.failed",
                error=repr(error),
                advice="is the broker reachable? A restart joins the group again",
                exc_info=True,
            )
        self._start(mine, writers, around, found, generation)
        log.info("partitions.assigned", partitions=[f"{place.topic}/{place.partition}" for place in mine], generation=generation)

    async def revoked(self, places: Iterable[Any]) -> None:
        self._assigned = False  # until the group says who has what now
        await self._close(TopicPartition(*place) for place in places)

    async def finish(self) -> None:
        """Close every partition for good: an assignment that still comes is not taken up."""
        self._ending = True
        await self.close()

    async def close(self) -> None:
        """Close every partition: transactions in flight end, nothing new begins."""
        await self._close(list(self._partitions))

    async def _close(self, places: Iterable[TopicPartition]) -> None:
        closing = [partition for place in places if (partition := self._partitions.pop(place, None)) is not None]
        self._being_closed += len(closing)
        kept = await asyncio.gather(*(partition.close() for partition in closing))
        self._being_closed -= len(closing)
        self._kept.update({partition.place: state for partition, state in zip(closing, kept, strict=True) if state is not None})

    # -- an assignment, step by step

    async def _fence(self, place: TopicPartition) -> Writer:
        async def attempt() -> Writer:
            writer = Writer(self.settings, place.topic, place.partition, self._fault)
            await writer.start()
            return writer

        return await patiently(attempt, what="transactional id", patience_s=self.settings.patience_s)

    async def _look_around(self, source: Source) -> Surroundings:
        topics = [topic for stage in self.stages.values() for topic in stage.all_topics]
        counts = await patiently(
            lambda: partition_counts(self.settings, topics), what="partition counts", patience_s=self.settings.patience_s
        )
        if problems := setup_problems(list(self.stages.values()), counts):
            end_process(Exit.SETUP, "setup.refused", problems=problems)
        return Surroundings(
            settings=self.settings, observer=self.observer, fault=self._fault, source=source, counts=counts, running=self._on_running
        )

    async def _survey(self, places: Collection[TopicPartition]) -> Survey:
        changelogs = [changelog for place in places if (changelog := self._changelog_of(place)) is not None]
        return await survey(self.settings, places, changelogs)

    def _changelog_of(self, place: TopicPartition) -> TopicPartition | None:
        changelog = self._stage_of[place.topic].changelog
        return None if changelog is None else TopicPartition(changelog, place.partition)

    def _start(
        self, places: Sequence[TopicPartition], writers: Sequence[Writer], around: Surroundings, found: Survey, generation: int
    ) -> None:
        parties = Counter(self._stage_of[place.topic].name for place in places)
        barriers = {name: Barrier(count) for name, count in parties.items()}
        for place, writer in zip(places, writers, strict=True):
            stage = self._stage_of[place.topic]
            assignment = self._assignment(place, found, generation)
            self._partitions[place] = Partition(stage, assignment, writer, barriers[stage.name], around)
        self._kept.clear()
        self._assigned = True
        for partition in self._partitions.values():
            partition.start()

    def _assignment(self, place: TopicPartition, found: Survey, generation: int) -> Assignment:
        changelog = self._changelog_of(place)
        committed, begin = found.committed[place], found.begin[place]
        changelog_end = 0 if changelog is None else found.end[changelog]
        if committed is not None and committed.offset < begin:
            log.error("records.lost", topic=place.topic, partition=place.partition, first=committed.offset, last=begin - 1,
                      advice="the topic's retention deleted them before they were read; lengthen it")  # fmt: skip
        kept = self._kept.get(place)
        if kept is not None and (kept.position, kept.restored.end) != (committed, changelog_end):
            kept = None
        return Assignment(
            place=place,
            generation=generation,
            committed=committed,
            begin=begin,
            end=found.end[place],
            kept=kept,
        )


def _stages_by_topic(stages: Sequence[Stage]) -> dict[str, Stage]:
    by_topic: dict[str, Stage] = {}
    for stage in stages:
        for topic in stage.topics:
            if (other := by_topic.setdefault(topic, stage)) is not stage:
                raise ValueError(f"topic {topic} is read by the stages {other.name} and {stage.name}: a topic has one stage")
    return by_topic
