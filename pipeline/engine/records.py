"""The records that go in and out, and the chunks in which they travel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

Headers: TypeAlias = Sequence[tuple[str, bytes]]
Record: TypeAlias = tuple[bytes | None, bytes | None, Headers]


class ConsumerRecord(Protocol):
    """What a step sees of a record: what aiokafka's parser makes of it (pipeline.engine.fetched). Where it stood, the step knows."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class GapError(Exception):
    """Records were skipped between two chunks: going on would lose them."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of one partition: everything from offset `start` to before `end`.

    `end` lies past transaction markers and aborted records that follow, so committing it leaves no lag, and the next
    chunk's `start` is this one's `end` even where offsets have holes. `records` may be empty.
    """

    topic: str
    partition: int
    generation: int
    start: int
    end: int
    records: Sequence[ConsumerRecord]


def sliced(fetch: Chunk, size: int) -> Iterator[Chunk]:
    """Cut a fetch into chunks of at most `size` records; the last one reaches to the fetch's end."""
    start, records = fetch.start, fetch.records
    for first in range(0, max(1, len(records)), size):
        part = records[first : first + size]
        end = fetch.end if first + size >= len(records) else part[-1].offset + 1
        yield msgspec.structs.replace(fetch, start=start, end=end, records=part)
        start = end


def continued(chunk: Chunk, position: int) -> Chunk | None:
    """The part of `chunk` from `position` on, None if it was all seen before. Raises GapError if it begins later."""
    if chunk.start > position:
        raise GapError(f"expected offset {position}, got {chunk.start}")
    if chunk.end <= position:
        return None
    if chunk.start == position:
        return chunk
    fresh = [record for record in chunk.records if record.offset >= position]
    return msgspec.structs.replace(chunk, start=position, records=fresh)


def joined(first: Chunk, second: Chunk) -> Chunk:
    """Two chunks that follow each other as one."""
    return msgspec.structs.replace(first, end=second.end, records=[*first.records, *second.records])
