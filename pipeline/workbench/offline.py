"""The whole pipeline in memory: the steps of the core over partitions that are plain queues. No Kafka, no clock.

Replay, explain and the laws of the tests run on it; the worker runs the same steps over real topics.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable

import msgspec

from pipeline.core import assemble, assembly, totals
from pipeline.core.assembly import Assembly
from pipeline.core.model import AgentTallyRow, AuditRow, CallRow, LateRow, LegEvent, LegRow, Policy, Retired, TallyRow
from pipeline.core.routing import EVERY_ORIGIN, CoreSeen, Facts, Item, Linked, Review, Watermark, home_of, state_key
from pipeline.core.stored import Reached
from pipeline.core.totals import Totals, partial_of

Row = LegRow | CallRow | TallyRow | AgentTallyRow | AuditRow | LateRow


class Offline:
    """`partitions` of assemble and one of tally. Every row put out is in `rows`, in order."""

    def __init__(self, policy: Policy, *, partitions: int = 1) -> None:
        self.policy = policy
        self.parts = [Assembly() for _ in range(partitions)]
        self.queues: list[deque[Item]] = [deque() for _ in range(partitions)]
        self.totals = Totals(partitions)
        self.rows: list[Row] = []
        self.retired: list[Retired] = []

    def send(self, event: LegEvent) -> None:
        """Put an event into the queue that its key belongs to."""
        self._put(state_key(event.tenant, home_of(event)), event)

    def send_watermark(self, at_ms: int, origin: str = EVERY_ORIGIN) -> None:
        """Put a watermark into every queue."""
        for index in range(len(self.queues)):
            self.put(index, Watermark(origin=origin, at_ms=at_ms))

    def run(self) -> None:
        """Take items until no queue holds one."""
        while any(self.queues):
            for index, queue in enumerate(self.queues):
                if queue:
                    self.take(index, len(queue))

    def take(self, index: int, most: int = 1) -> None:
        """Let one partition take up to `most` items, as one chunk."""
        state, queue = self.parts[index], self.queues[index]
        told: set[int] = set()
        for _ in range(min(most, len(queue))):
            for output in assemble.step(state, queue.popleft(), self.policy):
                if isinstance(output, Facts | Linked):
                    # what goes through a topic is a copy; here too
                    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(output), type=Facts | Linked)
                    told.update(self._put(state_key(output.tenant, output.to), copy))
                elif isinstance(output, CoreSeen):
                    self._tell_others(index, output)
                elif isinstance(output, Retired):
                    self.retired.append(output)
                else:
                    self.rows.append(output)
        for place in sorted(told):
            self.put(place, Review())
        self._tally(index, state)

    def _tally(self, index: int, state: Assembly) -> None:
        drained = assembly.drain(state)
        for key, delta in drained.deltas.items():
            self.rows += totals.step(self.totals, partial_of(key, delta), self.policy)
        if drained.clock_moved:
            self.rows += totals.step(self.totals, Reached(partition=index, at_ms=state.now_ms), self.policy)
        self.rows += totals.take_rows(self.totals, self.policy, idle=not any(self.queues))
        totals.drain(self.totals)

    def put(self, index: int, item: Item) -> None:
        """Append an item to one partition."""
        self.queues[index].append(item)

    def _tell_others(self, index: int, item: Item) -> None:
        """Append an item to every partition but one."""
        for place in range(len(self.queues)):
            if place != index:
                self.put(place, item)

    def _put(self, key: str, item: Item) -> tuple[int, ...]:
        """Append an item to the partition of its key. Return that partition, or nothing where nothing was appended."""
        place = zlib.crc32(key.encode()) % len(self.queues)
        self.put(place, item)
        return (place,)


def last_rows(rows: Iterable[Row]) -> dict[tuple[object, ...], Row]:
    """Return the last row of every key, keys sorted."""
    last = {key_of(row): row for row in rows}
    return dict(sorted(last.items(), key=lambda entry: tuple(map(str, entry[0]))))


def key_of(row: Row) -> tuple[object, ...]:
    """Return a row's topic and primary key."""
    if isinstance(row, LegRow):
        return ("legs", row.tenant, row.call_id, row.leg_id)
    if isinstance(row, CallRow):
        return ("results", row.tenant, row.call_id)
    if isinstance(row, TallyRow):
        return ("tallies", row.tenant, row.queue, row.attribution, row.window_size_s, row.window_start_ms)
    if isinstance(row, AgentTallyRow):
        return ("tallies_agents", row.tenant, row.agent, row.attribution, row.window_size_s, row.window_start_ms)
    if isinstance(row, AuditRow):
        return ("audit", msgspec.json.encode(row))
    return ("late", msgspec.json.encode(row))
