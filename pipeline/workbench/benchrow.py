"""What one measurement needs and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

import msgspec

from pipeline.workbench.following import Course, Span, span
from pipeline.workbench.gauge import Measured

Say = Callable[[str], None]


class Plan(NamedTuple):
    """`events`: canonical events of the big rows; the others take their share. Without a bootstrap a Kafka of its own is started."""

    events: int = 1_000_000
    bootstrap: str | None = None
    recordings: Path | None = None
    latency_s: float = 20.0
    rounds: int = 2
    only: Sequence[str] = ()


class Bench(NamedTuple):
    """Where measurements run: the measured process on a core of its own, everything else on the others where there are any."""

    plan: Plan
    bootstrap: str
    recordings: Path
    own: int
    others: Sequence[int]
    say: Say


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement. `missing` says why there is none.

    CPU is that of the measured processes, user and system; `events_per_s` goes by the clock, with the worker on one core. `warm`: the
    share of the work before which nothing counts, except in `whole_us_per_event`, where the start counts too. `load`: the machine's load
    average of the last minute, the bench's own included: well above the number of cores, figures by the clock say nothing.
    """

    name: str
    what: str
    events: int = 0
    warm: float = 0.0
    cpu_us_per_event: float | None = None
    whole_us_per_event: float | None = None
    events_per_s: float | None = None
    mb_per_s: float | None = None
    peak_mb: float | None = None
    first_output_s: float | None = None
    cores: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    worst_ms: float | None = None
    bytes_per_open_call: float | None = None
    restored_bytes_per_open_call: float | None = None
    restore_s: float | None = None
    restore_cpu_s: float | None = None
    decoder_us: dict[str, float] = {}
    rounds: tuple[float, ...] = ()
    load: float | None = None
    checked: str = ""
    missing: str = ""


def worked(name: str, what: str, events: int, course: Course, crew: Sequence[Measured], *, warm: float, checked: str) -> Row:
    """Return the row of a work that is done. Raises GaugeError if it was done before it could be seen."""
    part, done = span(course, begin=warm), course.samples[-1]
    return Row(
        name=name,
        what=what,
        events=events,
        warm=warm,
        cpu_us_per_event=cpu_us(part, events),
        whole_us_per_event=round(done.cpu_s / events * 1e6, 2),
        events_per_s=round(events * part.share / part.seconds),
        peak_mb=mb(sum(process.used().peak_bytes for process in crew)),
        first_output_s=round(course.first_output_s, 2),
        checked=checked,
    )


def cpu_us(part: Span, events: int) -> float:
    return round(part.cpu_s / (events * part.share) * 1e6, 2)


def mb(size_bytes: float) -> float:
    return round(size_bytes / 2**20, 1)


def middle(rows: Sequence[Row]) -> Row:
    """Return the row whose CPU per event is in the middle, with those of all rounds."""
    told = [row for row in rows if row.cpu_us_per_event is not None]
    if not told:
        return rows[-1]
    costs = tuple(row.cpu_us_per_event for row in told if row.cpu_us_per_event is not None)
    return msgspec.structs.replace(next(row for row in told if row.cpu_us_per_event == median_low(costs)), rounds=costs)
