"""Whether the worker gets on: looked at once a second from outside the work, which pays nothing for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from aiokafka import TopicPartition
from mode import Service

from pipeline.engine import clock
from pipeline.engine.engine import Engine
from pipeline.engine.observer import PartitionStatus
from pipeline.engine.sight import Sight

LOOK_S = 1.0


class Eyes(Protocol):
    """What the watch asks of the consumer (pipeline.engine.driver.Consumer)."""

    def sight(self, place: TopicPartition) -> Sight: ...

    def has_coordinator(self) -> bool: ...


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One owned partition. None where the brokers have not said enough yet. `still_s`: since it last got on, 0 if nothing waits."""

    status: PartitionStatus
    end_offset: int | None
    lag_records: int | None
    lag_s: float | None
    silent_s: float | None
    still_s: float

    @property
    def name(self) -> str:
        return f"{self.status.topic}/{self.status.partition}"


class Mark(msgspec.Struct):
    """Where a partition stood when it last got on, or had nothing to do."""

    offset: int
    at_s: float


class Watch(Service):
    """`outlook` and `trouble` may be asked at any time."""

    def __init__(self, engine: Engine, eyes: Callable[[], Eyes | None]) -> None:
        super().__init__()
        self._engine = engine
        self._eyes = eyes
        self._marks: dict[TopicPartition, Mark] = {}
        self._coordinator_s = clock.elapsed_s()  # when one was known last

    @Service.task
    async def _keep_looking(self) -> None:
        while not self.should_stop:
            self.outlook()
            await self.sleep(LOOK_S)

    def outlook(self) -> list[Outlook]:
        """The owned partitions, sorted by topic and number."""
        now_s, eyes = clock.elapsed_s(), self._eyes()
        if eyes is not None and eyes.has_coordinator():
            self._coordinator_s = now_s
        statuses = {TopicPartition(status.topic, status.partition): status for status in self._engine.status()}
        self._marks = {place: mark for place, mark in self._marks.items() if place in statuses}
        return [self._outlook(place, status, Sight() if eyes is None else eyes.sight(place), now_s) for place, status in statuses.items()]

    def _outlook(self, place: TopicPartition, status: PartitionStatus, seen: Sight, now_s: float) -> Outlook:
        lag_records = None if seen.end is None else max(0, seen.end - status.next_offset)
        mark = self._marks.setdefault(place, Mark(status.next_offset, now_s))
        if status.state != "running" or mark.offset != status.next_offset or not lag_records:
            mark.offset, mark.at_s = status.next_offset, now_s
        still_s = now_s - mark.at_s
        return Outlook(
            status=status, end_offset=seen.end, lag_records=lag_records, lag_s=lag_s(status, lag_records, still_s),
            silent_s=seen.silent_s, still_s=still_s,
        )  # fmt: skip

    def trouble(self) -> str | None:
        """Why this worker is not ready, in a sentence; None if it is."""
        outlook, settings = self.outlook(), self._engine.settings
        if (away_s := clock.elapsed_s() - self._coordinator_s) > settings.session_timeout_s:
            return f"no broker has answered as the group's coordinator for {away_s:.0f} s"
        if not self._engine.has_assignment:
            return "the group has not assigned the partitions yet"
        for told in (opening(outlook), silent(outlook, settings.session_timeout_s), stalled(outlook, 2 * settings.transaction_timeout_s)):
            if told is not None:
                return told
        return None


def lag_s(status: PartitionStatus, lag_records: int | None, still_s: float) -> float | None:
    """How long ago the broker got the first record that is not committed; if it was not handed over yet, since when that is so."""
    if not lag_records:
        return None if lag_records is None else 0.0
    return still_s if status.oldest_ms is None else max(0, clock.now_ms() - status.oldest_ms) / 1000


def opening(outlook: list[Outlook]) -> str | None:
    names = [f"{one.name} is {one.status.state}" for one in outlook if one.status.state != "running"]
    return None if not names else f"{len(names)} of {len(outlook)} partitions are not open yet, the first: {names[0]}"


def silent(outlook: list[Outlook], limit_s: float) -> str | None:
    names = [f"{one.name} for {one.silent_s:.0f} s" for one in outlook if one.silent_s is not None and one.silent_s > limit_s]
    return None if not names else f"no broker has answered for {len(names)} partitions, the first: {names[0]}"


def stalled(outlook: list[Outlook], limit_s: float) -> str | None:
    names = [f"{one.name} has {one.lag_records} records waiting and stands still for {one.still_s:.0f} s"
             for one in outlook if one.still_s > limit_s]  # fmt: skip
    return None if not names else f"{len(names)} partitions make no progress, the first: {names[0]}"
