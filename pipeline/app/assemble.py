"""Stage `assemble`: canonical events in; enriched legs, call results and partial tallies out. State: the calls of one partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from pipeline.app import codec
from pipeline.app.deadletters import BadRun, dead_letter
from pipeline.app.intake import latest_ms
from pipeline.app.partitioning import partition_of
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import Names
from pipeline.core import assemble, assembly
from pipeline.core.assembly import Assembly, Drained, Output
from pipeline.core.model import CallRow, LegEvent, LegRow, Policy, Retired
from pipeline.core.routing import DIRECT, CoreSeen, Facts, Item, Linked, Review, Watermark, home_of, state_key
from pipeline.core.shelf import Shelf
from pipeline.core.stored import Reached
from pipeline.core.totals import partial_of
from pipeline.engine.ending import Halt
from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.step import Batch
from pipeline.errors import BadRecord

Outputs = defaultdict[tuple[str, int], list[Record]]
Rows = dict[tuple[str, bytes], LegRow | CallRow]
"""(topic, key) -> the last row of this chunk"""
REVIEW = codec.encode(Review())
SENT_ON = ("sent-on", b"")
"""Header of an event that another partition took in: it was not of the future there, and no other broker's clock may say it is."""
MOST_WARM = 5_000
"""Calls of one partition that are kept opened, 6 kB each: as many as ring and talk at once in a large centre."""


class AssembleStep:
    """One partition of calls.events."""

    def __init__(
        self,
        partition: int,
        counts: Mapping[str, int],
        names: Names,
        policy: Policy,
        origins: Collection[str],
        bad: BadRun,
        clock_error_ms: int,
        telemetry: Telemetry,
    ) -> None:
        self._partition = partition
        self._counts = counts
        self._names = names
        self._policy = policy
        self._origins = origins  # the raw topics that are read
        self._bad = bad
        self._clock_error_ms = clock_error_ms
        self._telemetry = telemetry
        self._state = Assembly(Shelf(codec.opened_call))
        self._stored_sizes: tuple[int, ...] | None = None
        self._facts_sent: set[int] = set()  # by the chunk at hand, to these partitions
        self._broker_ms = -1  # of the newest record that a producer wrote here itself

    @property
    def state(self) -> Assembly:
        """The calls of this partition, to be looked at only."""
        return self._state

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Put one record of the changelog back."""
        if key == codec.SIZES_KEY:
            self._stored_sizes = codec.sizes_of_record(value)
        elif key == codec.CLOCK_KEY:
            if value is not None:
                self._state.now_ms, self._state.origins = codec.clock_of_record(value)
        elif key == codec.CORES_KEY:
            if value is not None:
                self._state.cores = codec.cores_of_record(value)
        else:
            assembly.restore_home(self._state, *codec.home_of_record(key, value))

    def restored(self, metadata: str) -> None:
        """Rebuild what is derived. A source that is no longer read does not hold stream time back."""
        self._broker_ms = int(metadata or -1)
        self._state.origins = {
            origin: at_ms for origin, at_ms in self._state.origins.items() if origin == DIRECT or origin.rpartition("/")[0] in self._origins
        }
        assembly.restored(self._state, codec.standing)

    def opened(self, *, backlog: bool) -> Batch | None:  # noqa: ARG002 - it makes no difference here
        """Note down the sizes of the windows that are counted. Raises Halt if the stored counts were made for others."""
        sizes = self._policy.window_sizes_ms
        if self._stored_sizes is not None and self._stored_sizes != sizes:
            stored_s, wanted_s = [ms // 1000 for ms in self._stored_sizes], [ms // 1000 for ms in sizes]
            raise Halt(
                f"window_sizes_s is {wanted_s}, but the stored tallies count {stored_s}: set it back,"
                " or take a new app_id and topic_prefix and read the raw topics again"
            )
        if self._stored_sizes is None:
            self._stored_sizes = sizes
            return Batch(changes=[codec.sizes_record(sizes)])
        return None

    def chunk(self, records: Sequence[ConsumerRecord]) -> Batch:
        """Step through the records; publish the last row of every key, with the state that they leave."""
        outputs: Outputs = defaultdict(list)
        rows: Rows = {}
        metadata = None
        for record in records:
            try:
                items = self._read(record)
            except BadRecord as error:
                outputs[self._here(self._names.dead_letters)].append(dead_letter(record, self._bad.place, error, "canonical"))
                self._telemetry.dead_letter(error.reason)
                self._bad.bad(record, error)
                continue
            self._bad.good()
            for item in items:
                if isinstance(item, LegEvent) and item.origin == DIRECT:
                    metadata = str(self._broker_ms)
                    if self._sent_on(item, outputs):
                        continue
                self._take(item, outputs, rows)
        self._telemetry.records_in("assemble", len(records))
        self._telemetry.rows(rows.values())
        for partition in sorted(self._facts_sent):
            outputs[self._names.events, partition].append((codec.CONTROL_KEY, REVIEW, ()))
        self._facts_sent.clear()
        for (topic, key), row in rows.items():
            outputs[topic, self._partition].append((key, codec.encode(row), codec.HEADERS))
        return Batch(outputs=outputs, changes=self._drained(outputs), metadata=metadata)

    def tick(self, now_ms: int) -> Batch | None:
        """Move time on in a partition that producers write themselves; raw partitions' time comes through `normalize`."""
        event_ms = self._state.origins.get(DIRECT)
        if event_ms is None or self._broker_ms < 0:
            return None
        watermark = Watermark(origin=DIRECT, at_ms=event_ms + max(0, now_ms - self._broker_ms))
        self._broker_ms = now_ms
        return Batch(outputs={self._here(self._names.events): [(codec.CONTROL_KEY, codec.encode(watermark), ())]}, metadata=str(now_ms))

    def _read(self, record: ConsumerRecord) -> tuple[Item, ...]:
        items = codec.decode_item(record.value)
        own = [item for item in items if isinstance(item, LegEvent) and item.origin == DIRECT]
        if own:
            if SENT_ON not in record.headers:
                latest_ms(own, stamped_ms=record.timestamp, clock_error_ms=self._clock_error_ms)
            self._broker_ms = record.timestamp
        return items

    def _take(self, item: Item, outputs: Outputs, rows: Rows) -> None:
        for output in assemble.step(self._state, item, self._policy):
            if isinstance(output, LegRow):
                rows[self._names.legs, codec.key_of(output)] = output
            elif isinstance(output, CallRow):
                rows[self._names.results, codec.key_of(output)] = output
            else:
                self._send(output, outputs, rows)

    def _send(self, output: Output, outputs: Outputs, rows: Rows) -> None:
        if isinstance(output, Facts | Linked):
            key = state_key(output.tenant, output.to).encode()
            partition = partition_of(key, self._counts[self._names.events])
            outputs[self._names.events, partition].append((key, codec.encode(output), ()))
            self._facts_sent.add(partition)
        elif isinstance(output, CoreSeen):
            value = codec.encode(output)
            for partition in set(range(self._counts[self._names.events])) - {self._partition}:
                outputs[self._names.events, partition].append((codec.CONTROL_KEY, value, ()))
        elif isinstance(output, Retired):
            topic = self._names.results if output.leg_id is None else self._names.legs
            parts = (output.tenant, output.call_id) if output.leg_id is None else (output.tenant, output.call_id, output.leg_id)
            key = codec.key_bytes(*parts)
            rows.pop((topic, key), None)
            outputs[topic, self._partition].append((key, None, codec.HEADERS))
        else:
            assert not isinstance(output, LegRow | CallRow)  # those are kept back by key
            self._telemetry.late(output.reason)
            outputs[self._here(self._names.late)].append((codec.key_of(output), codec.encode(output), codec.HEADERS))

    def _sent_on(self, event: LegEvent, outputs: Outputs) -> bool:
        """Send an event on that stands in another partition than its key's, as a producer may have chosen. Return whether it did."""
        key = state_key(event.tenant, home_of(event)).encode()
        partition = partition_of(key, self._counts[self._names.events])
        if partition == self._partition:
            return False
        outputs[self._names.events, partition].append((key, codec.encode(event), (SENT_ON,)))
        return True

    def _drained(self, outputs: Outputs) -> list[tuple[bytes, bytes | None]]:
        drained = assembly.drain(self._state)
        changes = [codec.home_record(key, home) for key, home in drained.homes.items()]
        self._broadcast(drained, outputs)
        if drained.clock_moved:
            changes.append(codec.clock_record((self._state.now_ms, self._state.origins)))
        if drained.cores_moved:
            changes.append(codec.cores_record(self._state.cores))
        self._state.calls.cool(MOST_WARM, codec.call_image)
        return changes

    def _broadcast(self, drained: Drained, outputs: Outputs) -> None:
        topic, count = self._names.partials, self._counts[self._names.partials]
        for delta_key, delta in drained.deltas.items():
            key = codec.key_bytes(*delta_key[:3])
            partial = partial_of(delta_key, delta)
            outputs[topic, partition_of(key, count)].append((key, codec.encode(partial), ()))
        if drained.clock_moved:
            reached = codec.encode(Reached(partition=self._partition, at_ms=self._state.now_ms))
            for partition in range(count):
                outputs[topic, partition].append((codec.CONTROL_KEY, reached, ()))

    def _here(self, topic: str) -> tuple[str, int]:
        return topic, self._partition % self._counts[topic]
