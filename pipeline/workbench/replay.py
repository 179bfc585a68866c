"""The core without Kafka: records in, and the last row of every key as a reader of the topics would hold it.

Watermarks are sent as `normalize` does, one after every WATERMARK_EVERY records with the greatest event time so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.core.assembly import Assembly
from pipeline.core.call import Call
from pipeline.core.model import LegEvent, Policy
from pipeline.core.race import read
from pipeline.core.routing import EVERY_ORIGIN
from pipeline.errors import CallverdictError
from pipeline.workbench.kept import Kept
from pipeline.workbench.offline import Offline
from pipeline.workbench.reading import ORIGIN, LogReader, Reader, told_by

WATERMARK_EVERY = 2_000
End = Literal["settle", "ttl", "none"]


class ReplayError(CallverdictError):
    """An input that cannot be replayed."""


class Replay:
    """The steps of the core over one partition. Give it events, then end it."""

    def __init__(self, policy: Policy, *, partitions: int = 1) -> None:
        self.policy = policy
        self.kept = Kept()
        self.flow = self._flow(partitions)
        self._reached: dict[str, int] = {}
        self._told_ms: dict[str, int] = {}
        self._records = 0
        self._last: bytes | None = None

    def _flow(self, partitions: int) -> Offline:
        return Offline(self.policy, partitions=partitions)

    def expect(self, origins: Iterable[str]) -> None:
        """Hold stream time back until each of these origins has told how far it is."""
        for origin in origins:
            self.flow.send_watermark(0, origin)

    def take(self, value: bytes | None, events: Iterable[LegEvent], origin: str = ORIGIN) -> None:
        """Take one record's events. A record that comes twice in a row counts once."""
        for event in events:
            self._reached[origin] = max(self._reached.get(origin, -1), event.at_ms)
            self.flow.send(event)
        if value == self._last:
            return
        self._last = value
        self._records += 1
        if self._records % WATERMARK_EVERY == 0:
            self.catch_up()

    def catch_up(self) -> None:
        """Send the watermarks that are due, and judge."""
        for origin, at_ms in self._reached.items():
            if at_ms > self._told_ms.get(origin, -1):
                self._told_ms[origin] = at_ms
                self.flow.send_watermark(at_ms, origin)
        self._run()

    def end(self, end: End) -> None:
        """End the input: calls settle, or every time to live passes as well, or what is open stays open."""
        self.catch_up()
        last_ms = self.last_ms
        if end == "none" or last_ms < 0:
            return
        self.flow.send_watermark(last_ms + closing_ms(end, self.policy), EVERY_ORIGIN)
        self._run()

    @property
    def last_ms(self) -> int:
        """Return the latest event time, -1 before the first event."""
        return max(self._reached.values(), default=-1)

    def _run(self) -> None:
        self.flow.run()
        self.kept.take(self.flow.rows, self.flow.retired)
        self.flow.rows.clear()
        self.flow.retired.clear()

    def remarks(self) -> Iterator[str]:
        """Yield what somebody who reads the rows should know."""
        if count := self.open_calls():
            yield f"{count} calls are still open: a leg has not ended or the call has not settled; --end ttl closes them"
        if count := sum(row.is_deleted for row in self.kept.legs.values()):
            yield f"{count} withdrawn rows: those legs turned out to hang under another call, where they have their row"
        if count := len(self.kept.late):
            yield f"{count} facts came after their call or window was gone: --late writes them"

    def open_calls(self) -> int:
        """Return how many calls are not complete: a leg of theirs has not ended, or they have not settled."""
        return sum(self._is_open(call, part) for part in self.flow.parts for call in part.calls.values() if not call.is_signpost)

    def _is_open(self, call: Call, part: Assembly) -> bool:
        race = read(call.key, call.legs, self.policy, call.through, part.cores.get(call.tenant, {}))
        is_call = any(leg.is_real and race.roles[leg_id] != "pseudo" for leg_id, leg in race.legs.items())
        return is_call and part.now_ms < race.complete_ms


def closing_ms(end: End, policy: Policy) -> int:
    """Return how far past the last event the closing watermark lies."""
    settled_ms = policy.settle_ms + policy.grace_ms
    return settled_ms if end == "settle" else settled_ms + max(policy.ttl_ms, policy.offered_ttl_ms) + policy.root_wait_ms


class Summary(msgspec.Struct, frozen=True):
    """How many legs and calls have each result; withdrawn rows do not count."""

    legs: Counter[str]
    calls: Counter[str]


def summary(replay: Replay) -> Summary:
    """Count what a replay has kept."""
    return Summary(replay.kept.results_of("legs"), replay.kept.results_of("results"))


def replay_files(
    paths: Sequence[Path], reader: Reader, policy: Policy, *, end: End, on_read: Callable[[int], None] = lambda _: None
) -> Replay:
    """Replay recordings as one source tells them. `on_read` hears how many more bytes of the files were taken.

    Raises RecordingError, OSError, and ReplayError if no record can be read.
    """
    replay = Replay(policy)
    for told in told_by(paths, on_read):
        replay.take(told.value, reader.events(told))
    check(reader, ", ".join(map(str, paths)))
    replay.end(end)
    return replay


def check(reader: Reader | LogReader, where: str) -> None:
    """Raises ReplayError if there was nothing to read, or nothing of it could be read."""
    if not reader.records:
        raise ReplayError(f"{where}: no records: give recordings with one record a line, plain or gzip, or a topic that holds some")
    if reader.bad_records == reader.records:
        bad = next(iter(reader.bad.values()))
        raise ReplayError(
            f"{where}: none of {reader.records} records can be read as {reader.vendor}: {bad.message}; or give another --source"
        )
