"""Rows with very many calls open at once: memory per open call, the speed then, and how long a restart takes.

All calls ring; nothing has ended. Then some of them, chosen from all over, go on to their end: that is the measured work. A second
process takes up what the first one left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import msgspec

from pipeline.core.model import Result
from pipeline.workbench import loading
from pipeline.workbench.benchown import checked, done
from pipeline.workbench.benchpeers import KAFKA_STREAMS, SAID, AbsentError, started
from pipeline.workbench.benchrow import Bench, Plan, Row, worked
from pipeline.workbench.gauge import Measured, MeasuredWorker
from pipeline.workbench.ringall import BEGINNING, Load, going_on, ringing
from pipeline.workbench.site import Site, now_ms, site

GOING_ON = 20_000
"""Calls whose end is measured: 14 events each."""
ALL_BEGUN_S = 40.0
SPAN_MS = 600_000


class Grown(NamedTuple):
    """What was written: so many events, of which the first `ringing` leave all calls open and the others end some of them."""

    events: int
    ringing: int
    ended: int
    results: dict[str, Result]


def hundred_thousand(bench: Bench) -> Row:
    return _own(bench, 100_000)


def million(bench: Bench) -> Row:
    return _own(bench, 1_000_000)


def hundred_thousand_kafka_streams(bench: Bench) -> Row:
    calls = scaled(bench, 100_000)
    name, what = "open-100000-kafka-streams", f"{KAFKA_STREAMS.what}, {calls:,} ring-all calls open; {SAID}"
    try:
        command = KAFKA_STREAMS.command()
    except AbsentError as error:
        return Row(name=name, what=what, missing=str(error))
    with site(bench.bootstrap) as here:
        return _grown(bench, here, name, what, calls, lambda: started(bench, here, KAFKA_STREAMS, command), spare=1)


def _own(bench: Bench, calls: int) -> Row:
    name, calls = f"open-{calls}", scaled(bench, calls)
    with site(bench.bootstrap) as here:
        what = f"`assemble` alone, {calls:,} ring-all calls open"
        return _grown(bench, here, name, what, calls, lambda: MeasuredWorker(here.folder, "assemble", bench.own), spare=0)


def scaled(bench: Bench, calls: int) -> int:
    """Return fewer calls in a bench of fewer events than its usual ones: enough to see that it works."""
    return min(calls, max(1_000, calls * bench.plan.events // Plan().events))


def _grown(bench: Bench, here: Site, name: str, what: str, calls: int, start: Callable[[], Measured], *, spare: int) -> Row:
    with start() as process:
        idle_s, empty = process.await_ready(), process.used().resident_bytes
    load = _written(bench, here, calls)
    with start() as process:
        job = here.job(here.topics.events, [here.topics.events], here.topics.legs, spare=spare)
        course = done(bench, job, [process])
        row = worked(name, what, load.events, course, [process], warm=load.ringing / load.events, checked="")
    told = checked(here, load.results)
    with start() as process:
        restore_s = process.await_ready()
        restored = process.used().resident_bytes
    live = next(sample for sample in course.samples if sample.taken * load.events >= load.ringing * course.total).resident_bytes
    return msgspec.structs.replace(
        row,
        what=f"{what}; the end of {load.ended:,} of them is measured. A start without any state takes {idle_s:.1f} s",
        bytes_per_open_call=round((live - empty) / calls),
        restored_bytes_per_open_call=round((restored - empty) / (calls - load.ended)),
        restore_s=round(restore_s, 1),
        checked=told,
    )


def _written(bench: Bench, here: Site, calls: int) -> Grown:
    """Write both parts into calls.events; nothing lets the calls settle that stay open."""
    results: dict[str, Result] = {}
    load = Load(calls, begin_ms=now_ms() - SPAN_MS, origin=f"{here.settings.sources[0].topic}/0", calls_per_s=calls / ALL_BEGUN_S)
    ended = min(GOING_ON, calls // 2)
    bench.say(f"  writing the begin of {calls:,} calls and the end of {ended:,}")
    events = asyncio.run(loading.load_events(here.settings, chain(ringing(load), going_on(load, ended, results))))
    return Grown(events, calls * BEGINNING, ended, results)
