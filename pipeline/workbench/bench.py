"""What the pipeline costs, measured through a real Kafka, beside others that do the same job, and checked against the load's own plan.

    markdown(measured(Plan(...), say, keep))

Counted is the CPU time of the measured process, user and system, so that what else the machine does matters less; it runs on a core of
its own, Kafka and the bench on the others. The input stands in the topic before the process starts. In each round every row is measured
once, every other round backwards; a row is the round whose cost is in the middle.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain

import msgspec

from pipeline.errors import CallverdictError
from pipeline.workbench import benchcost, benchgrowth, benchlatency, benchown, benchpeers
from pipeline.workbench.benchrow import Bench, Plan, Row, Say, middle
from pipeline.workbench.gauge import check, cores, placed
from pipeline.workbench.kafka import LocalKafka
from pipeline.workbench.programme import recordings

Measure = Callable[[Bench], Row]

ROWS: Mapping[str, Measure] = {
    "assemble": benchown.assembled,
    "kafka-streams": benchpeers.kafka_streams,
    "assemble-tally": benchown.assembled_and_tallied,
    "aiokafka": benchpeers.aiokafka,
    "faust": benchpeers.faust,
    "normalize-step": benchcost.step,
    "normalize": benchown.normalized,
    "whole-way": benchown.whole_way,
    "whole-way-freeswitch": benchown.whole_way_freeswitch,
    "replay": benchcost.replayed,
    "two-workers": benchown.assembled_by_two,
    "latency": benchlatency.whole_way,
    "latency-assemble": benchlatency.assembled,
    "latency-kafka-streams": benchlatency.kafka_streams,
    "open-1000": benchown.assembled_busily,
    "open-100000": benchgrowth.hundred_thousand,
    "open-100000-kafka-streams": benchgrowth.hundred_thousand_kafka_streams,
    "open-1000000": benchgrowth.million,
}
"""By name, in the order in which a round measures them."""

LONG = ("open-1000000",)
"""Not measured unless they are asked for: ten minutes and several GB each."""


class UnknownRowError(CallverdictError):
    """A row was asked for that is not measured; the message says which are."""


def chosen(only: Sequence[str]) -> list[str]:
    """Return the names of the rows to measure, in the order of ROWS. Raises UnknownRowError."""
    if unknown := sorted(set(only) - ROWS.keys()):
        raise UnknownRowError(f"no row is called {', '.join(unknown)}: give some of {', '.join(ROWS)}")
    return [name for name in ROWS if name in only or (not only and name not in LONG)]


def measured(plan: Plan, say: Say, keep: Callable[[list[Row]], object]) -> list[Row]:
    """Measure and return the rows; `keep` is told of all that are known after each measurement.

    Raises GaugeError where nothing can be measured or an output is not as planned.
    """
    names = chosen(plan.only)
    check()
    found: dict[str, list[Row]] = {name: [] for name in names}
    with ExitStack() as stack:
        bench = opened(plan, say, stack)
        for name in rounds(names, plan.rounds):
            say(f"{name}:")
            found[name].append(msgspec.structs.replace(ROWS[name](bench), load=round(os.getloadavg()[0], 1)))
            say(f"  {told(found[name][-1])}")
            keep(known(found))
    return known(found)


def known(found: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [middle(rows) for rows in found.values() if rows]


def rounds(names: Sequence[str], count: int) -> Iterator[str]:
    """Return the names so many times, there and back again."""
    return chain.from_iterable(names if number % 2 == 0 else names[::-1] for number in range(count))


def opened(plan: Plan, say: Say, stack: ExitStack) -> Bench:
    """Start a Kafka where none is given, away from the measured core."""
    *others, own = cores()
    bootstrap = plan.bootstrap
    if bootstrap is None:
        say("starting Kafka")
        with placed(others or [own]):
            bootstrap = stack.enter_context(LocalKafka()).bootstrap
    return Bench(plan, bootstrap, recordings(plan.recordings), own, others, say)


def told(row: Row) -> str:
    """Return what was measured in a few words."""
    if row.missing:
        return f"not measured: {row.missing}"
    if row.p99_ms is not None:
        return f"p50 {row.p50_ms} ms, p99 {row.p99_ms} ms, {row.cores} of a core"
    return f"{row.cpu_us_per_event} us of CPU per event, {row.peak_mb or '-'} MB at most"
