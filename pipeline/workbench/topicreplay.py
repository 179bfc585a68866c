"""A replay of what stands in topics: a raw topic, or the logs of calls.events."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.app.partitioning import partition_of
from pipeline.app.topics import ROWS
from pipeline.core.model import LegEvent, Policy
from pipeline.core.routing import DIRECT, CoreSeen, Facts, Item, Linked, home_of, state_key
from pipeline.workbench.offline import Offline
from pipeline.workbench.reading import LogReader, Reader, Told
from pipeline.workbench.replay import WATERMARK_EVERY, End, Replay, check
from pipeline.workbench.topiclog import TopicLog

EVENTS = next(row.name for row in ROWS if row.role == "events")


def is_events(topic: str) -> bool:
    """Tell whether a topic is calls.events, under whatever prefix."""
    return topic.endswith(EVENTS)


class Passing(Offline):
    """Takes what keys pass on from the log, where the worker wrote it, and only counts what it would pass on itself."""

    passed = 0

    def _put(self, key: str, item: Item) -> tuple[int, ...]:  # noqa: ARG002
        self.passed += 1
        return ()

    def _tell_others(self, index: int, item: Item) -> None:  # noqa: ARG002
        self.passed += len(self.queues) - 1


class LogReplay(Replay):
    """The steps of the core over the logs of calls.events: each partition its own state, so revisions too are the worker's."""

    flow: Passing

    def __init__(self, policy: Policy, *, partitions: int) -> None:
        super().__init__(policy, partitions=partitions)
        self.passed_on = 0

    def _flow(self, partitions: int) -> Passing:
        return Passing(self.policy, partitions=partitions)

    def take_item(self, partition: int, item: Item, *, is_here: bool) -> None:
        """Take one item of a partition's log. `is_here`: the partition is the one that an event's key belongs to."""
        if isinstance(item, LegEvent):
            if item.origin == DIRECT and not is_here:
                return  # the worker sent it on, and what it sent stands in the right log
            self._reached[item.origin] = max(self._reached.get(item.origin, -1), item.at_ms)
        elif isinstance(item, Facts | Linked | CoreSeen):
            self.passed_on += 1
        self.flow.put(partition, item)
        self._records += 1
        if self._records % WATERMARK_EVERY == 0:
            self._run()

    def catch_up(self) -> None:
        """Take what is queued; the watermarks stand in the log."""
        self._run()

    def remarks(self) -> Iterator[str]:
        """Yield also how many passed-on records the log lacks."""
        yield from super().remarks()
        if (count := self.flow.passed - self.passed_on) > 0:
            yield f"{count} records that keys pass on to each other are not in the log: the worker has not come so far yet"


async def replay_raw(log: TopicLog, reader: Reader, policy: Policy, *, end: End, on_read: Callable[[int], None] = lambda _: None) -> Replay:
    """Replay a raw topic. `on_read` hears 1 for each record. Raises ReplayError if no record can be read."""
    replay = Replay(policy)
    origins = {partition: f"{log.topic}/{partition}" for partition in log.holding()}
    replay.expect(origins.values())
    async for record in log.records():
        origin = origins[record.partition]
        events = reader.events(Told(origin, record.offset, record.value), origin=origin, stamped_ms=record.stamped_ms)
        replay.take(record.value, events, origin)
        on_read(1)
    check(reader, log.topic)
    replay.end(end)
    return replay


async def replay_log(
    log: TopicLog, reader: LogReader, policy: Policy, *, end: End, on_read: Callable[[int], None] = lambda _: None
) -> LogReplay:
    """Replay calls.events, each partition with a state of its own. `on_read` hears 1 for each record."""
    replay = LogReplay(policy, partitions=log.partitions)
    async for record in log.records():
        for item in reader.items(Told(f"{log.topic}/{record.partition}", record.offset, record.value)):
            is_here = (
                not isinstance(item, LegEvent)
                or partition_of(state_key(item.tenant, home_of(item)).encode(), log.partitions) == record.partition
            )
            replay.take_item(record.partition, item, is_here=is_here)
        on_read(1)
    check(reader, log.topic)
    replay.end(end)
    return replay
