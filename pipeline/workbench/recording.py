"""Recorded vendor records: one a line, plain or gzip."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import cast

from pipeline.errors import CallverdictError

GZIP = b"\x1f\x8b"
TELL_EVERY = 500


class RecordingError(CallverdictError):
    """A recording that cannot be read."""


def records(path: Path, on_read: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """The lines that are not blank, without their line ends. `on_read` hears now and then how many more bytes of the file were taken.

    Raises RecordingError for a damaged gzip, OSError for what cannot be read.
    """
    with path.open("rb") as raw:
        taken = 0
        try:
            for number, line in enumerate(opened(raw)):
                if record := line.strip(b"\r\n"):
                    yield record
                if number % TELL_EVERY == 0:
                    taken, before = raw.tell(), taken
                    on_read(taken - before)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise RecordingError(f"{path}: damaged gzip ({error}): fetch the file again, or unpack what is left of it") from error
        on_read(raw.tell() - taken)


def opened(raw: BufferedReader) -> BufferedIOBase:
    """Told by content, since a file may be called anything."""
    return cast("BufferedIOBase", gzip.open(raw)) if raw.peek(len(GZIP)).startswith(GZIP) else raw


_OWN_TIMES = (
    (re.compile(rb'"(?<!\\")Event-Date-Timestamp"\s*:\s*"?(\d{16})\b'), 1),
    (re.compile(rb'"(?<!\\")end_uepoch"\s*:\s*"?(\d{16})\b'), 1),
    (re.compile(rb'"(?<!\\")at_ms"\s*:\s*(\d{13})\b'), 1_000),
)
"""Where a record says when it was made, and how many microseconds its unit has: an ESL event, a CDR, a canonical event."""

_OWN_IDS = (
    re.compile(rb'"(?<!\\")Unique-ID"\s*:\s*"([^"\\]{1,256})"'),
    re.compile(rb'"(?<!\\")uuid"\s*:\s*"([^"\\]{1,256})"'),
    re.compile(rb'"(?<!\\")leg_id"\s*:\s*"([^"\\]{1,256})"'),
)


def own_time_us(record: bytes) -> int | None:
    """When the switch made this record, microseconds since 1970; None if it does not say, as garbage does."""
    for pattern, unit_us in _OWN_TIMES:
        if match := pattern.search(record):
            return int(match[1]) * unit_us
    return None


def own_id(record: bytes) -> bytes | None:
    """The leg's own id, as a switch's Kafka module keys its records; None if there is none."""
    for pattern in _OWN_IDS:
        if match := pattern.search(record):
            return match[1]
    return None


def opened_for_writing(path: Path) -> BufferedIOBase:
    """Gzip if the name ends in .gz; the same records give the same bytes."""
    return gzip.GzipFile(path, "wb", mtime=0) if path.suffix == ".gz" else path.open("wb")
