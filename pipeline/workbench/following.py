"""How far a group has come with its input, told by what it has committed, and what its processes had used by then.

Asked is the broker, not the process: so every program is measured alike, and a measurement costs it nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.workbench.gauge import GaugeError, Measured

LOOK_S = 0.1
PATIENCE_S = 300.0
"""Without a commit. What a whole work may take depends on the machine."""
CALM_LOOKS = 4
"""Looks in a row that must find nothing left: what was just done may have given more to do."""

Ends = Mapping[TopicPartition, int]


class Job(NamedTuple):
    """A group's work: all that stands in `inputs` when it is done, of which `loaded` was there at the beginning.

    `spare`: offsets that a group may leave, since a transaction's mark at a partition's end is no record.
    """

    bootstrap: str
    group: str
    inputs: Sequence[TopicPartition]
    outputs: Sequence[TopicPartition]
    loaded: Ends
    spare: int = 0

    @property
    def total(self) -> int:
        return sum(self.loaded.values())


class Sample(NamedTuple):
    """At one moment: the clock, CPU seconds and memory of all processes, and how many of the loaded offsets are committed."""

    at_s: float
    cpu_s: float
    resident_bytes: int
    taken: int


class Course(NamedTuple):
    """`samples` end where the work does; `first_output_s` counts from the start of the first process."""

    samples: list[Sample]
    total: int
    first_output_s: float


class Span(NamedTuple):
    """A part of the work: how large it is, and what it took."""

    share: float
    seconds: float
    cpu_s: float


class Standstill:
    """Notices that a work comes no further."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = -1
        self._moved_s = time.monotonic()

    def look(self, left: int) -> None:
        """Raises GaugeError if there has been as much left for a long time."""
        if left != self._left:
            self._left, self._moved_s = left, time.monotonic()
        elif time.monotonic() - self._moved_s > PATIENCE_S:
            raise GaugeError(f"{self._name} committed nothing for {PATIENCE_S:.0f} s: see its log, and what keeps this machine busy")


async def follow(job: Job, processes: Sequence[Measured]) -> Course:
    """Return the course of this work once it is done. Raises GaugeError if a process ends or comes no further."""
    async with consumer(job.bootstrap, job.group, [*job.inputs, *job.outputs]) as broker:
        samples: list[Sample] = []
        standstill = Standstill(processes[0].name)
        first_output_s, calm = 0.0, 0
        while calm < CALM_LOOKS:
            await asyncio.sleep(LOOK_S)
            samples.append(await _sample(broker, job, processes))
            standstill.look(left := await _left(broker, job))
            if not first_output_s and any((await broker.end_offsets(job.outputs)).values()):
                first_output_s = time.monotonic() - processes[0].began_s
            calm = calm + 1 if samples[-1].taken == job.total and not left else 0
    return Course(samples[: len(samples) - CALM_LOOKS + 1], job.total, first_output_s)


def span(course: Course, *, begin: float) -> Span:
    """Return the part of the work from this share of it on, or a larger one where so little was done that nobody saw it begin.

    Raises GaugeError if nobody saw any of it.
    """
    done = course.samples[-1]
    working = [sample for sample in course.samples if sample.taken < course.total]
    if not working:
        raise GaugeError("the work was done before it could be measured: give more --events")
    first = next((sample for sample in working if sample.taken >= begin * course.total), working[-1])
    return Span(1 - first.taken / course.total, done.at_s - first.at_s, done.cpu_s - first.cpu_s)


def consumer(bootstrap: str, group: str | None, places: Sequence[TopicPartition]) -> AIOKafkaConsumer:
    """Return a reader of committed records that belongs to no group's members."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, client_id="callverdict-bench", isolation_level="read_committed",
        auto_offset_reset="earliest", enable_auto_commit=False, max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=50,
    )  # fmt: skip
    reader.assign(list(places))
    return reader


async def ends(bootstrap: str, places: Sequence[TopicPartition]) -> Ends:
    async with consumer(bootstrap, None, places) as reader:
        found: Ends = await reader.end_offsets(places)
        return found


async def _sample(broker: AIOKafkaConsumer, job: Job, processes: Sequence[Measured]) -> Sample:
    use = [process.used() for process in processes]
    at_s = time.monotonic()
    taken = 0
    for place, end in job.loaded.items():
        reached = min(await broker.committed(place) or 0, end)
        taken += end if reached >= end - job.spare else reached
    return Sample(at_s, sum(one.cpu_s for one in use), sum(one.resident_bytes for one in use), taken)


async def _left(broker: AIOKafkaConsumer, job: Job) -> int:
    """Return how many offsets are not committed, those to spare not counted."""
    found = await broker.end_offsets(job.inputs)
    return sum([max(0, found[place] - (await broker.committed(place) or 0) - job.spare) for place in job.inputs])
