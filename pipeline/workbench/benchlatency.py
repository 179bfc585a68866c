"""Rows of produce-to-verdict latency at 500 canonical events a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.core.model import LegEvent, Result
from pipeline.core.routing import home_of, state_key
from pipeline.workbench.benchown import ALL
from pipeline.workbench.benchpeers import KAFKA_STREAMS, SAID, AbsentError, started
from pipeline.workbench.benchrow import Bench, Row, mb
from pipeline.workbench.gauge import Measured, MeasuredWorker
from pipeline.workbench.latency import Latency, Way, measure
from pipeline.workbench.ringall import EVENTS_PER_CALL, Load, stream
from pipeline.workbench.site import Site, now_ms, site

RATE = 500.0
WARM = 0.1
SPAN_MS = 600_000
AT_RATE = f"{RATE:.0f} canonical events a second"


def whole_way(bench: Bench) -> Row:
    """From a raw topic through all three agents."""
    with site(bench.bootstrap) as here:
        way = Way(here.settings.sources[0].topic, lambda event: event.leg_id.encode(), is_notice)
        what = f"{AT_RATE} into a raw topic, all three agents, until a reader has the verdict"
        return _measured(bench, here, "latency", what, way, lambda: MeasuredWorker(here.folder, ALL, bench.own))


def assembled(bench: Bench) -> Row:
    """From calls.events through `assemble` alone."""
    with site(bench.bootstrap) as here:
        what = f"{AT_RATE} into calls.events, `assemble` alone, until a reader has the verdict"
        way = Way(here.topics.events, home_key, is_notice)
        return _measured(bench, here, "latency-assemble", what, way, lambda: MeasuredWorker(here.folder, "assemble", bench.own))


def kafka_streams(bench: Bench) -> Row:
    name, what = "latency-kafka-streams", f"{AT_RATE} into {KAFKA_STREAMS.what}; {SAID}"
    try:
        command = KAFKA_STREAMS.command()
    except AbsentError as error:
        return Row(name=name, what=what, missing=str(error))
    with site(bench.bootstrap) as here:
        way = Way(here.topics.events, home_key, lambda event: event.kind == "ended" and not event.authority)
        return _measured(bench, here, name, what, way, lambda: started(bench, here, KAFKA_STREAMS, command))


def _measured(bench: Bench, here: Site, name: str, what: str, way: Way, start: Callable[[], Measured]) -> Row:
    results: dict[str, Result] = {}
    count = int(bench.plan.latency_s * RATE)
    events = list(stream(Load(count // EVENTS_PER_CALL, begin_ms=now_ms() - SPAN_MS), results))
    with start() as process:
        process.await_ready()
        before = process.used()
        found = asyncio.run(measure(here, way, events, results, rate=RATE, warm=WARM))
        after = process.used()
    return _row(name, what, len(events), found, after.cpu_s - before.cpu_s, after.peak_bytes)


def _row(name: str, what: str, events: int, found: Latency, cpu_s: float, peak_bytes: int) -> Row:
    return Row(
        name=name,
        what=what,
        events=events,
        warm=WARM,
        cpu_us_per_event=round(cpu_s / events * 1e6, 1),
        events_per_s=round(events / found.seconds),
        peak_mb=mb(peak_bytes),
        cores=round(cpu_s / found.seconds, 2),
        p50_ms=round(found.p50_ms, 1),
        p90_ms=round(found.p90_ms, 1),
        p99_ms=round(found.p99_ms, 1),
        worst_ms=round(found.worst_ms, 1),
        checked=f"{found.verdicts:,} verdicts came; the producer was {found.behind_ms:.0f} ms late at worst",
    )


def home_key(event: LegEvent) -> bytes:
    return state_key(event.tenant, home_of(event)).encode()


def is_notice(event: LegEvent) -> bool:
    """Tell whether this is the first word of a leg's end: it is enough for a verdict of ours."""
    return event.kind == "ended" and event.authority > 0
