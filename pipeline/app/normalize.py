"""Stage `normalize`: vendor bytes in, canonical events out, keyed by call ID as far as each event tells it.

It keeps no state but two times, stored with the committed offset: the greatest event time so far, and when the broker got it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from pipeline.app.codec import CONTROL_KEY, encode
from pipeline.app.deadletters import BadRun, dead_letter
from pipeline.app.intake import Intake, latest_ms
from pipeline.app.partitioning import partition_of
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import Names
from pipeline.core.model import LegEvent
from pipeline.core.routing import Watermark, home_of, state_key
from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.step import Batch
from pipeline.errors import BadRecord

Outputs = defaultdict[tuple[str, int], list[Record]]


class Reached(msgspec.Struct, array_like=True):
    """How far event time is in one raw partition, and the broker's time of the record that said so. -1: no event yet."""

    event_ms: int = -1
    broker_ms: int = -1


class NormalizeStep:
    """One partition of one raw topic."""

    def __init__(
        self,
        intake: Intake,
        topic: str,
        partition: int,
        counts: Mapping[str, int],
        names: Names,
        bad: BadRun,
        clock_error_ms: int,
        telemetry: Telemetry,
    ) -> None:
        self._intake = intake
        self._origin = f"{topic}/{partition}"
        self._names = names
        self._events = counts[names.events]
        self._dead = (names.dead_letters, partition % counts[names.dead_letters])
        self._bad = bad
        self._clock_error_ms = clock_error_ms
        self._telemetry = telemetry
        self._reached = Reached()
        self._told_ms = -1
        self._holds = False  # stream time waits for our first event

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Nothing: there is no changelog."""

    def restored(self, metadata: str) -> None:
        """Take up the two times where the last owner left them."""
        self._reached = msgspec.json.decode(metadata, type=Reached) if metadata else Reached()

    def opened(self, *, backlog: bool) -> Batch | None:
        """Hold stream time back until this partition's backlog has told how far it is."""
        if not backlog and self._reached.event_ms < 0:
            return None
        self._holds = self._reached.event_ms < 0
        return self._watermark(max(self._reached.event_ms, 0))

    def chunk(self, records: Sequence[ConsumerRecord]) -> Batch:
        """Re-key every event of every record; what cannot be read becomes a dead letter."""
        outputs: Outputs = defaultdict(list)
        before = self._reached.event_ms
        for record in records:
            try:
                events = self._read(record)
            except BadRecord as error:
                outputs[self._dead].append(dead_letter(record, self._bad.place, error, self._intake.vendor))
                self._telemetry.dead_letter(error.reason)
                self._bad.bad(record, error)
                continue
            if self._bad.length:
                self._bad.good()
            for event in events:
                key = state_key(event.tenant, home_of(event)).encode()
                outputs[self._names.events, partition_of(key, self._events)].append((key, encode(event), ()))
        self._telemetry.records_in("normalize", len(records))
        metadata = None
        if outputs.keys() - {self._dead}:
            self._add_watermark(outputs, self._reached.event_ms)  # also where time did not move: what came is judged at it
        if self._reached.event_ms > before:
            metadata = msgspec.json.encode(self._reached).decode()
        return Batch(outputs=outputs, metadata=metadata)

    def tick(self, now_ms: int) -> Batch | None:
        """Idle: event time goes on as the clock does since the record that set it. A partition without an event holds nobody up."""
        reached = self._reached
        if reached.event_ms < 0:
            holds, self._holds = self._holds, False
            return self._watermark(-1) if holds else None
        at_ms = reached.event_ms + max(0, now_ms - reached.broker_ms)
        return self._watermark(at_ms) if at_ms > self._told_ms else None

    def _read(self, record: ConsumerRecord) -> tuple[LegEvent, ...]:
        events = self._intake.events(record.value, self._origin)
        if not events:
            return events
        latest = latest_ms(events, stamped_ms=record.timestamp, clock_error_ms=self._clock_error_ms)
        if latest > self._reached.event_ms:
            self._reached.event_ms, self._reached.broker_ms = latest, record.timestamp
        return events

    def _watermark(self, at_ms: int) -> Batch:
        outputs: Outputs = defaultdict(list)
        self._add_watermark(outputs, at_ms)
        return Batch(outputs=outputs)

    def _add_watermark(self, outputs: Outputs, at_ms: int) -> None:
        self._told_ms = max(self._told_ms, at_ms)
        value = encode(Watermark(origin=self._origin, at_ms=at_ms))
        for partition in range(self._events):
            outputs[self._names.events, partition].append((CONTROL_KEY, value, ()))
