"""A source's records as events, from files or a topic: what cannot be read is counted by reason, with the first example of each."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.app.codec import decode_item
from pipeline.app.intake import Intake, latest_ms
from pipeline.core.model import LegEvent, Policy
from pipeline.core.routing import Item
from pipeline.errors import BadRecord, SettingsError
from pipeline.settings import VENDOR_NAMES, Settings, Source
from pipeline.workbench.recording import own_time_us, records

ORIGIN = "replay"
"""The origin of events from files: the files count as one partition."""


class Told(NamedTuple):
    """One record: the file or partition that it stands in, its number there, and its bytes."""

    place: str
    number: int
    value: bytes | None


class Bad(msgspec.Struct):
    """The records that could not be read for one reason. `message` is the advice for the first, which stood at `first`."""

    first: Told
    message: str
    count: int = 0


class Tray:
    """What could not be read."""

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor
        self.records = 0
        self.bad: dict[str, Bad] = {}

    @property
    def bad_records(self) -> int:
        """Return how many records could not be read."""
        return sum(bad.count for bad in self.bad.values())

    def _put_aside(self, told: Told, error: BadRecord) -> None:
        self.bad.setdefault(error.reason, Bad(told, error.message)).count += 1


class Reader(Tray):
    """Reads the records of one source."""

    def __init__(self, source: Source, settings: Settings, policy: Policy) -> None:
        super().__init__(source.vendor)
        self._intake = Intake(source, settings, policy)
        self._clock_error_ms = source.clock_error_s * 1000

    def events(self, told: Told, *, origin: str = ORIGIN, stamped_ms: int | None = None) -> tuple[LegEvent, ...]:
        """Return what a record says, () for a bad one. `stamped_ms`: when a broker got it; a file does not tell."""
        self.records += 1
        try:
            events = self._intake.events(told.value, origin)
            if stamped_ms is not None:
                latest_ms(events, stamped_ms=stamped_ms, clock_error_ms=self._clock_error_ms)
        except BadRecord as error:
            self._put_aside(told, error)
            return ()
        return events


class LogReader(Tray):
    """Reads the records of calls.events."""

    def __init__(self) -> None:
        super().__init__("calls.events")

    def items(self, told: Told) -> tuple[Item, ...]:
        """Return what a record says, () for a bad one."""
        self.records += 1
        try:
            return decode_item(told.value)
        except BadRecord as error:
            self._put_aside(told, error)
            return ()


def source_named(word: str, settings: Settings) -> Source:
    """Return the source of this name, else the first of this vendor, else the vendor with nothing set. Raises SettingsError."""
    for source in settings.sources:
        if source.name == word:
            return source
    for source in settings.sources:
        if source.vendor == word:
            return source
    for vendor in VENDOR_NAMES:
        if vendor == word:
            return Source(vendor=vendor, name=vendor)
    known = ", ".join(dict.fromkeys((*(source.name for source in settings.sources), *VENDOR_NAMES)))
    raise SettingsError([f"no source {word}: give one of {known}"])


def told_by(paths: Sequence[Path], on_read: Callable[[int], None] = lambda _: None) -> Iterator[Told]:
    """Yield all files' records by time, each file's in its own order; the order and the repetition of the files change nothing in it.

    `on_read` hears how many bytes of the files were taken.
    """
    if len(paths) == 1:
        yield from _numbered(paths[0], on_read)
        return
    for _, _, _, told in heapq.merge(*(_timed(path, on_read) for path in paths), key=lambda line: line[:3]):
        yield told


def _numbered(path: Path, on_read: Callable[[int], None]) -> Iterator[Told]:
    place = str(path)
    for number, record in enumerate(records(path, on_read), 1):
        yield Told(place, number, record)


def _timed(path: Path, on_read: Callable[[int], None]) -> Iterator[tuple[int, int, bytes, Told]]:
    """What has no time of its own stands with the record before it. Equal times: by number, then by bytes, not by file."""
    reached_us = 0
    for told in _numbered(path, on_read):
        assert told.value is not None  # a line of a file
        reached_us = max(reached_us, own_time_us(told.value) or 0)
        yield reached_us, told.number, told.value, told
