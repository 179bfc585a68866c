"""What is committed of one partition, and what the next transaction must hold to keep it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.engine.assignment import Assignment
from pipeline.engine.changelog import Restored, check_partitions, partitions_record, position_record
from pipeline.engine.ending import log
from pipeline.engine.records import Record
from pipeline.engine.step import Batch, Stage
from pipeline.engine.writer import Position


class Ledger:
    """`next_offset` is where the next chunk must begin; `restored` follows the changelog as it is written."""

    def __init__(self, stage: Stage, assignment: Assignment, counts: Mapping[str, int]) -> None:
        self.committed = assignment.committed
        self.next_offset = max(assignment.begin, assignment.committed.offset if assignment.committed else 0)
        self.metadata = assignment.committed.metadata if assignment.committed else ""
        self.restored = Restored()
        self._stage = stage
        self._place = assignment.place
        self._counts = counts

    def take_up(self, restored: Restored) -> None:
        """Go on from a changelog that was read. Raises RepartitionedError."""
        if self._stage.changelog is not None:
            check_partitions(restored, self._place.topic, self._stage.changelog, self._counts)
        self.restored = restored
        if restored.position is not None:
            self._reconcile(restored.position)

    def _reconcile(self, known: Position) -> None:
        """State and group should agree on the position. Where the group is behind (expired, reset) the state is right."""
        offset = -1 if self.committed is None else self.committed.offset
        if known.offset == offset:
            return
        log.warning(
            "offset.disagrees",
            topic=self._place.topic,
            partition=self._place.partition,
            committed=offset,
            state=known.offset,
            advice="the larger one counts; to read again from an earlier offset use a new app id",
        )
        if known.offset > offset:
            self.next_offset, self.metadata = max(self.next_offset, known.offset), known.metadata

    def position(self, offset: int, batch: Batch) -> Position:
        return Position(offset, self.metadata if batch.metadata is None else batch.metadata)

    def content(self, batch: Batch, position: Position | None) -> Mapping[tuple[str, int], Sequence[Record]]:
        """The outputs and, where the stage has one, the changelog with the engine's own records."""
        changes = [] if self._stage.changelog is None else self._changes(batch, position)
        if not changes:
            return batch.outputs
        return {**batch.outputs, (self._stage.changelog or "", self._place.partition): changes}

    def _changes(self, batch: Batch, position: Position | None) -> list[Record]:
        changes: list[Record] = [(key, value, ()) for key, value in batch.changes]
        if position is not None:
            changes.append(position_record(position))
        if self.restored.partitions is None:
            self.restored.partitions = self._counts[self._place.topic]
            changes.append(partitions_record(self.restored.partitions))
        return changes

    def settle(self, position: Position | None, ends: Mapping[tuple[str, int], int]) -> None:
        """The transaction is committed; `ends` as `Writer.write` returns them."""
        self.restored.end = ends.get((self._stage.changelog or "", self._place.partition), self.restored.end)
        if position is not None:
            self.restored.position = position
            self.committed, self.next_offset, self.metadata = position, position.offset, position.metadata
