"""Stage `tally`: partial counts of the partitions of calls.events in, one row a window and revision out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipeline.app import codec
from pipeline.app.deadletters import BadRun, dead_letter
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import Names
from pipeline.core import totals
from pipeline.core.model import LateRow, Policy, TallyRow
from pipeline.core.totals import Totals
from pipeline.engine.ending import Halt
from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.step import Batch
from pipeline.errors import BadRecord

Outputs = defaultdict[tuple[str, int], list[Record]]


class TallyStep:
    """One partition of calls.tallies.partial."""

    def __init__(self, partition: int, counts: Mapping[str, int], names: Names, policy: Policy, bad: BadRun, telemetry: Telemetry) -> None:
        self._tallies = (names.tallies, partition)
        self._agents = (names.tallies_agents, partition)
        self._audit = (names.audit, partition % counts[names.audit])
        self._late = (names.late, partition % counts[names.late])
        self._dead = (names.dead_letters, partition % counts[names.dead_letters])
        self._policy = policy
        self._bad = bad
        self._telemetry = telemetry
        self._state = Totals(counts[names.events])

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Put one record of the changelog back."""
        if key == codec.CLOCK_KEY:
            self._state.reached = {} if value is None else codec.reached_of_record(value)
            return
        window, total = codec.total_of_record(key, value)
        if total is None:
            self._state.totals.pop(window, None)
        else:
            self._state.totals[window] = total

    def restored(self, metadata: str) -> None:  # noqa: ARG002 - nothing is kept there
        """Rebuild what is derived."""
        totals.restored(self._state, self._policy)

    def opened(self, *, backlog: bool) -> Batch | None:  # noqa: ARG002 - it makes no difference here
        """Raises Halt if what is counted stands in windows that the settings do not have."""
        if (window := totals.misaligned(self._state, self._policy)) is not None:
            tenant, kind, name, _, size_ms, start_ms = window
            raise Halt(
                f"the {kind} {name!r} of tenant {tenant!r} is counted in a window of {size_ms // 1000} s from {start_ms} ms on, which window_sizes_s"
                " and tz do not give: set them back, or take a new app_id and topic_prefix and read the raw topics again"
            )
        return None

    def chunk(self, records: Sequence[ConsumerRecord]) -> Batch:
        """Step through the partials; publish the last row of every window."""
        outputs: Outputs = defaultdict(list)
        for record in records:
            try:
                item = codec.decode_tally_item(record.value)
            except BadRecord as error:
                outputs[self._dead].append(dead_letter(record, self._bad.place, error, "callverdict"))
                self._telemetry.dead_letter(error.reason)
                self._bad.bad(record, error)
                continue
            self._bad.good()
            for late in totals.step(self._state, item, self._policy):
                if isinstance(late, LateRow):
                    self._telemetry.late(late.reason)
                outputs[self._late if isinstance(late, LateRow) else self._audit].append(
                    (codec.key_of(late), codec.encode(late), codec.HEADERS)
                )
        self._telemetry.records_in("tally", len(records))
        self._put_rows(outputs, idle=False)
        return Batch(outputs=outputs, changes=self._drained())

    def _put_rows(self, outputs: Outputs, *, idle: bool) -> None:
        rows = list(totals.take_rows(self._state, self._policy, idle=idle))
        self._telemetry.tallies(rows)
        for row in rows:
            place = self._tallies if isinstance(row, TallyRow) else self._agents
            outputs[place].append((codec.key_of(row), codec.encode(row), codec.HEADERS))

    def tick(self, now_ms: int) -> Batch | None:  # noqa: ARG002 - its time is stream time
        """Say what is not said yet. Time comes through `assemble`."""
        outputs: Outputs = defaultdict(list)
        self._put_rows(outputs, idle=True)
        return Batch(outputs=outputs, changes=self._drained()) if outputs else None

    def _drained(self) -> list[tuple[bytes, bytes | None]]:
        drained = totals.drain(self._state)
        changes = [codec.total_record(key, total) for key, total in drained.totals.items()]
        if drained.clock_moved:
            changes.append(codec.clock_record(self._state.reached))
        return changes
