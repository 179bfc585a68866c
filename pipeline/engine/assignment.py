"""What one partition gets to know when it is assigned, and what all partitions of a worker share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from aiokafka import TopicPartition

from pipeline.engine.changelog import Restored
from pipeline.engine.observer import Fault, Observer
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Step
from pipeline.engine.writer import Position


class Source(Protocol):
    """What a partition needs of the consumer that reads it."""

    def hold(self, place: TopicPartition) -> None:
        """Fetch nothing more from this partition for now; what was fetched still comes."""

    def release(self, place: TopicPartition) -> None:
        """Fetch again."""

    def expect(self) -> None:
        """Something was committed that this worker reads."""

    def read_to_end(self, place: TopicPartition, offset: int) -> bool:
        """Nothing lies at or after `offset`, as a recent fetch saw it."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """`counts`: partitions per topic; `running` is called when a partition has come to its first chunk."""

    settings: EngineSettings
    observer: Observer
    fault: Fault
    source: Source
    counts: Mapping[str, int]
    running: Callable[[], None]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A closed partition's state, good for as long as position and changelog stand where they stood."""

    step: Step
    position: Position | None
    restored: Restored


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: its committed position, where its log begins and ends, its state if this worker still has it."""

    place: TopicPartition
    generation: int
    committed: Position | None
    begin: int
    end: int
    kept: Kept | None
