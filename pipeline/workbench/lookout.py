"""What a plain reader of the topics sees while the worker runs: the tallies, the verdicts, and how long a verdict took.

It reads committed records without a group: nothing is committed, no worker notices.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from pipeline.app import broker
from pipeline.app.topics import names
from pipeline.core.model import LegRow
from pipeline.settings import Settings
from pipeline.workbench.board import Board

POLL_MS = 100
FETCH_WAIT_MS = 20  # a partition that was just read is asked again only after the request under way for the others
MOST_RECORDS = 2_000
HANGUP = b'"CHANNEL_HANGUP'
NAME_WITHIN_BYTES = 64  # FreeSWITCH's events begin with their name


class Latencies:
    """From the broker's receipt of a leg's hangup to the moment when its verdict can be read, ms. Either may be seen first."""

    def __init__(self) -> None:
        self.samples_ms: list[int] = []
        self._hung_up_ms: dict[str, int] = {}
        self._judged_ms: dict[str, int] = {}

    def hung_up(self, leg_id: str, at_ms: int) -> None:
        """Note a hangup; of several of one leg the first counts."""
        if self._hung_up_ms.setdefault(leg_id, at_ms) == at_ms:
            self._measure(leg_id)

    def judged(self, leg_id: str, at_ms: int) -> None:
        """Note a verdict; of several of one leg the first counts."""
        if leg_id not in self._judged_ms:
            self._judged_ms[leg_id] = at_ms
            self._measure(leg_id)

    def _measure(self, leg_id: str) -> None:
        begin_ms, end_ms = self._hung_up_ms.get(leg_id), self._judged_ms.get(leg_id)
        if begin_ms is not None and end_ms is not None and end_ms >= begin_ms:  # something else may have ended the leg before
            self.samples_ms.append(end_ms - begin_ms)

    def percentile(self, percent: int) -> int | None:
        """Return the least sample that so many percent do not exceed; None without samples."""
        ordered = sorted(self.samples_ms)
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


class Lookout:
    """Reads calls.tallies, calls.legs and the raw topics from their beginning."""

    def __init__(self, settings: Settings) -> None:
        ours = names(settings)
        self.board = Board()
        self.legs: dict[bytes, LegRow] = {}
        self.latencies = Latencies()
        self._take = {ours.tallies: self._tally, ours.legs: self._leg} | {source.topic: self._raw for source in settings.sources}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap, client_id="callverdict-lookout", enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_WAIT_MS,
        )  # fmt: skip
        self._bootstrap = settings.bootstrap
        self._outputs = (ours.tallies, ours.legs)

    async def __aenter__(self) -> Self:
        async with broker.admin(self._bootstrap) as client:
            there = await broker.described(client)
        partitions = [TopicPartition(topic, part["partition"]) for topic in self._take for part in there[topic]["partitions"]]
        self._consumer.assign(partitions)
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(asyncio.CancelledError):  # of its own inner task, when the broker went away; the cause is told by whom it struck
            await self._consumer.stop()

    async def watch(self) -> None:
        """Read for ever."""
        while True:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            now_ms = time.time_ns() // 1_000_000
            for partition, records in fetched.items():
                take = self._take[partition.topic]
                for record in records:
                    take(record, now_ms)

    async def is_caught_up(self) -> bool:
        """Tell whether everything that is in the output topics now has been read."""
        partitions = [partition for partition in self._consumer.assignment() if partition.topic in self._outputs]
        ends = await self._consumer.end_offsets(partitions)
        return all([await self._consumer.position(partition) >= end for partition, end in ends.items()])

    def _tally(self, record: ConsumerRecord, now_ms: int) -> None:  # noqa: ARG002
        if record.value is not None:
            self.board.take(record.key, record.value)

    def _leg(self, record: ConsumerRecord, now_ms: int) -> None:
        if record.value is None:
            self.legs.pop(record.key, None)
            return
        row = self.legs[record.key] = msgspec.json.decode(record.value, type=LegRow)
        if row.result is not None:
            self.latencies.judged(row.leg_id, now_ms)

    def _raw(self, record: ConsumerRecord, now_ms: int) -> None:  # noqa: ARG002
        if record.key is not None and HANGUP in record.value[:NAME_WITHIN_BYTES]:
            self.latencies.hung_up(record.key.decode(), record.timestamp)
