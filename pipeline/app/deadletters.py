"""Records that cannot be read: kept as they came, with headers that say where they stood and why."""

from __future__ import annotations

import msgspec
from structlog.stdlib import get_logger

from pipeline.engine.ending import Halt
from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.step import MAX_RECORD_BYTES, record_bytes
from pipeline.errors import BadRecord

Place = tuple[str, int]
"""Topic and partition."""

log = get_logger("callverdict.deadletters")


def dead_letter(record: ConsumerRecord, place: Place, error: BadRecord, vendor: str) -> Record:
    """Return the dead letter of a record that stood in `place`: key and value untouched, unless with its headers it is larger than a record may be."""
    headers: list[tuple[str, bytes]] = [
        ("source-topic", place[0].encode()),
        ("source-partition", b"%d" % place[1]),
        ("source-offset", b"%d" % record.offset),
        ("reason", error.reason.encode()),
        ("message", error.message.encode()[:4_000]),
        ("vendor", vendor.encode()),
    ]
    room = MAX_RECORD_BYTES - record_bytes((None, None, headers)) - 200  # for the two headers below
    key = _cut(record.key, room, "key-cut-from-bytes", headers)
    value = _cut(record.value, room - len(key or b""), "cut-from-bytes", headers)
    return key, value, headers


def _cut(content: bytes | None, room: int, header: str, headers: list[tuple[str, bytes]]) -> bytes | None:
    if content is None or len(content) <= room:
        return content
    headers.append((header, b"%d" % len(content)))
    return content[:room]


class BadRun(msgspec.Struct):
    """Counts the bad records in a row of one partition. A wrong deployment must not empty a topic into dead letters."""

    limit: int
    place: Place
    length: int = 0

    def good(self) -> None:
        """A record could be read."""
        self.length = 0

    def bad(self, record: ConsumerRecord, error: BadRecord) -> None:
        """A record could not be read. Raises Halt at the limit."""
        self.length += 1
        if self.length == 1:
            log.warning("records.bad", topic=self.place[0], partition=self.place[1], offset=record.offset, reason=error.reason)
        if self.length >= self.limit:
            raise Halt(
                f"{self.length} records in a row of {self.place[0]}/{self.place[1]} cannot be read, the last at offset {record.offset}:"
                f" {error}. Check the source's vendor and its producer; --accept-bad {self.length} gets past them as dead letters"
            )
