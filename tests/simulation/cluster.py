"""A Kafka in memory and the three stages on it: topics are lists, a transaction is an append, a crash forgets what is in memory.

The steps are the worker's own, made by `pipeline.app.worker.stages`, with their codec, changelogs and committed positions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import msgspec

from pipeline.app.codec import CONTROL_KEY, encode
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import Names, names, topics
from pipeline.app.worker import AGENTS, stages
from pipeline.core.model import LegEvent
from pipeline.core.routing import EVERY_ORIGIN, Watermark
from pipeline.engine.step import Batch, Stage, Step
from pipeline.settings import Settings
from tests.simulation.log import Place, Rec


@dataclass
class Cluster:
    """Everything durable: logs, committed positions with their metadata. Everything else is lost in a crash."""

    settings: Settings
    chance: Random
    now_ms: int
    logs: dict[Place, list[Rec]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[Place, tuple[int, str]] = field(default_factory=dict)
    steps: dict[Place, Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counts: Mapping[str, int] = {topic.name: topic.partitions for topic in topics(self.settings)}
        self.names: Names = names(self.settings)
        self.stages = stages(self.settings, AGENTS, Telemetry())
        self.stage_of: dict[Place, Stage] = {
            (topic, partition): stage for stage in self.stages for topic in stage.topics for partition in range(self.counts[topic])
        }

    def write(self, place: Place, key: bytes | None, value: bytes | None) -> None:
        """Append a record."""
        self.logs[place].append(Rec(*place, len(self.logs[place]), self.now_ms, key, value))

    def send(self, event: LegEvent) -> None:
        """What a producer does: our own JSON into a raw topic, any partition."""
        topic = next(source.topic for source in self.settings.sources if source.vendor == "canonical")
        self.write((topic, self.chance.randrange(self.counts[topic])), None, msgspec.json.encode(event))

    def tick_all(self, at_ms: int) -> None:
        """What `callverdict tick` does."""
        for partition in range(self.counts[self.names.events]):
            self.write((self.names.events, partition), CONTROL_KEY, encode(Watermark(origin=EVERY_ORIGIN, at_ms=at_ms)))

    def behind(self) -> list[Place]:
        """The places with records that are not committed."""
        return [place for place in self.stage_of if len(self.logs[place]) > self.committed.get(place, (0, ""))[0]]

    def turn(self, *, most: int, crash: float) -> None:
        """Let one place take a chunk; perhaps crash before or after the commit."""
        place = self.chance.choice(self.behind())
        step = self._step(place)
        position, _ = self.committed.get(place, (0, ""))
        records = self.logs[place][position : position + self.chance.randint(1, most)]
        batch = step.chunk(records)
        if self.chance.random() < crash:
            self.crash()  # nothing was committed
            return
        self._commit(place, batch, position + len(records))
        if self.chance.random() < crash:
            self.crash()

    def drain(self, *, most: int, crash: float = 0.0) -> None:
        """Take turns until nothing is behind. Some turns are ticks."""
        while self.behind():
            self.turn(most=most, crash=crash)
            if self.chance.random() < 0.05:
                self.idle_tick()

    def idle_tick(self) -> None:
        """Tick an idle place, as the engine does."""
        idle = [place for place in self.steps if place not in self.behind()]
        if idle:
            place = self.chance.choice(sorted(idle))
            batch = self.steps[place].tick(self.now_ms)
            if batch is not None:
                self._commit(place, batch, None)

    def crash(self) -> None:
        """All that is in memory is gone."""
        self.steps.clear()

    def _step(self, place: Place) -> Step:
        if place not in self.steps:
            self.steps[place] = self._opened(place)
        return self.steps[place]

    def _opened(self, place: Place) -> Step:
        stage = self.stage_of[place]
        step = stage.open(*place, self.counts)
        if stage.changelog is not None:
            last = {rec.key: rec.value for rec in self.logs[stage.changelog, place[1]]}  # compacted
            for key, value in last.items():
                assert key is not None
                step.restore(key, value)
        position, metadata = self.committed.get(place, (0, ""))
        step.restored(metadata)
        batch = step.opened(backlog=len(self.logs[place]) > position)
        if batch is not None:
            self._commit(place, batch, None)
        return step

    def _commit(self, place: Place, batch: Batch, position: int | None) -> None:
        for (topic, partition), records in batch.outputs.items():
            assert partition < self.counts[topic], (topic, partition)
            for key, value, _ in records:
                self.write((topic, partition), key, value)
        changelog = self.stage_of[place].changelog
        for key, value in batch.changes:
            assert changelog is not None
            self.write((changelog, place[1]), key, value)
        before = self.committed.get(place, (0, ""))
        metadata = before[1] if batch.metadata is None else batch.metadata
        self.committed[place] = (before[0] if position is None else position, metadata)
