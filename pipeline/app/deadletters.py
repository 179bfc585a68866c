"""Records that cannot be read: kept as they came, with headers that say where they stood and why."""

from __future__ import annotations

import msgspec
from structlog.stdlib import get_logger

from pipeline.engine.ending import Halt
from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.step import MAX_RECORD_BYTES, record_bytes
from pipeline.errors import BadRecord

log = get_logger("callverdict.deadletters")


def dead_letter(record: ConsumerRecord, error: BadRecord, vendor: str) -> Record:
    """Return the dead letter: key and value untouched, unless with its headers it is larger than a record may be."""
    headers: list[tuple[str, bytes]] = [
        ("source-topic", record.topic.encode()),
        ("source-partition", b"%d" % record.partition),
        ("source-offset", b"%d" % record.offset),
        ("reason", error.reason.encode()),
        ("message", error.message.encode()[:4_000]),
        ("vendor", vendor.encode()),
    ]
    letter: Record = (record.key, record.value, headers)
    excess = record_bytes(letter) - MAX_RECORD_BYTES
    if excess <= 0 or record.value is None:
        return letter
    # 100 bytes more make room for this header
    headers.append(("cut-from-bytes", b"%d" % len(record.value)))
    return record.key, record.value[: max(0, len(record.value) - excess - 100)], headers


class BadRun(msgspec.Struct):
    """Counts the bad records in a row of one partition. A wrong deployment must not empty a topic into dead letters."""

    limit: int
    length: int = 0

    def good(self) -> None:
        """A record could be read."""
        self.length = 0

    def bad(self, record: ConsumerRecord, error: BadRecord) -> None:
        """A record could not be read. Raises Halt at the limit."""
        self.length += 1
        if self.length == 1:
            log.warning("records.bad", topic=record.topic, partition=record.partition, offset=record.offset, reason=error.reason)
        if self.length >= self.limit:
            raise Halt(
                f"{self.length} records in a row of {record.topic}/{record.partition} cannot be read, the last at offset {record.offset}:"
                f" {error}. Check the source's vendor and its producer; --accept-bad {self.length} gets past them as dead letters"
            )
