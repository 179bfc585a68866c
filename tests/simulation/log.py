"""One partition of a topic: records, transaction markers and holes, each with an offset of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.engine.records import Record
from pipeline.engine.writer import Position

Place = tuple[str, int]


@dataclass(slots=True)
class Rec:
    """A record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True, eq=False)
class Transaction:
    """What one producer wrote since `begin`. `outcome` is decided once; each log learns of it by a marker of its own."""

    producer: str
    logs: list[Log] = field(default_factory=list)
    offsets: dict[Place, Position] = field(default_factory=dict)
    outcome: Literal["open", "committed", "aborted"] = "open"


@dataclass(slots=True, eq=False)
class Log:
    """`entries[offset]` is a record with its transaction, or None: a marker, or what retention or compaction took."""

    topic: str
    partition: int
    entries: list[tuple[Rec, Transaction | None] | None] = field(default_factory=list)
    open: dict[Transaction, int] = field(default_factory=dict)  # -> its first offset here; until the marker is written
    begin: int = 0

    @property
    def high(self) -> int:
        """The offset that the next entry gets."""
        return len(self.entries)

    @property
    def stable(self) -> int:
        """Up to here a read_committed reader sees."""
        return min(self.open.values()) if self.open else len(self.entries)

    def append(self, records: Iterable[Record], timestamp: int, transaction: Transaction | None = None) -> int:
        """Return the offset of the first of them."""
        first = len(self.entries)
        if transaction is not None and transaction not in self.open:
            self.open[transaction] = first
            transaction.logs.append(self)
        for key, value, headers in records:
            self.entries.append((Rec(self.topic, self.partition, len(self.entries), timestamp, key, value, headers), transaction))
        return first

    def mark(self, transaction: Transaction) -> None:
        """Write the marker that ends a transaction here."""
        del self.open[transaction]
        self.entries.append(None)

    def read(self, position: int, most: int) -> tuple[list[Rec], int]:
        """Return the committed records of up to `most` entries from `position` on, and the position after them."""
        end = min(self.stable, position + most)
        return [entry[0] for entry in self.entries[position:end] if entry is not None and _is_committed(entry[1])], max(position, end)

    def decided(self) -> Iterator[Rec]:
        """Every committed record, also where the marker is still to come."""
        return (entry[0] for entry in self.entries if entry is not None and _is_committed(entry[1]))

    def forget(self, before: int) -> None:
        """Let retention take what stands before an offset."""
        self.begin = max(self.begin, before)

    def compact(self) -> None:
        """Keep the last record of every key below what is still open; a last record without a value goes, too."""
        last: dict[bytes | None, int] = {}
        for offset, entry in enumerate(self.entries[: self.stable]):
            if entry is not None and _is_committed(entry[1]):
                before = last.get(entry[0].key)
                if before is not None:
                    self.entries[before] = None
                last[entry[0].key] = offset
        for offset in last.values():
            entry = self.entries[offset]
            if entry is not None and entry[0].value is None:
                self.entries[offset] = None


def _is_committed(transaction: Transaction | None) -> bool:
    return transaction is None or transaction.outcome == "committed"
