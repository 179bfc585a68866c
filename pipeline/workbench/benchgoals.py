"""What the measurements should come to: one row a goal, judged against what the same run measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from pipeline.workbench.benchcost import DECODERS, READERS
from pipeline.workbench.benchrow import Row

Rows = Mapping[str, Row]
Value = Callable[[Rows], float]


class Goal(NamedTuple):
    """`value` raises KeyError or TypeError where what it compares was not measured. Better is less, unless `is_least`."""

    row: str
    what: str
    unit: str
    limit: float
    value: Value
    is_least: bool = False


class Judged(NamedTuple):
    """A goal and what was measured; None: not in this run."""

    goal: Goal
    found: float | None

    @property
    def is_met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.goal.limit if self.goal.is_least else self.found <= self.goal.limit


def cost(rows: Rows, name: str) -> float:
    return _number(rows[name].cpu_us_per_event)


def ratio(name: str, other: str) -> Value:
    """Return how many times the CPU per event of the other row this one takes."""
    return lambda rows: cost(rows, name) / cost(rows, other)


def speed_up(name: str, other: str) -> Value:
    """Return how many times as many events a second, by the clock."""
    return lambda rows: _number(rows[name].events_per_s) / _number(rows[other].events_per_s)


def by_cpu(name: str, other: str) -> Value:
    """Return how many times as many events a second two workers would do if each had a core to itself."""
    return lambda rows: 2 * cost(rows, other) / cost(rows, name)


def figure(name: str, field: str) -> Value:
    return lambda rows: _number(getattr(rows[name], field))


def times_fastest(names: Collection[str]) -> Value:
    """Return how many times the CPU of the fastest of these decoders `normalize` takes, on the same bytes."""
    return lambda rows: cost(rows, "normalize-step") / min(us for name, us in rows["normalize-step"].decoder_us.items() if name in names)


def _number(value: float | None) -> float:
    if value is None:
        raise TypeError("not measured")
    return value


OF_STREAMS = "x the CPU of Kafka Streams"
OF_DECODER = "x the CPU of the fastest decoder"
OF_READER = "x the CPU of the fastest reader, which makes no values"

GOALS = (
    Goal("assemble", "CPU per event", OF_STREAMS, 1.0, ratio("assemble", "kafka-streams")),
    Goal("assemble-tally", "CPU per event", OF_STREAMS, 1.0, ratio("assemble-tally", "kafka-streams")),
    Goal("assemble-tally", "CPU per event", OF_STREAMS, 0.67, ratio("assemble-tally", "kafka-streams")),
    Goal("open-100000", "CPU per event", OF_STREAMS, 0.5, ratio("open-100000", "open-100000-kafka-streams")),
    Goal("normalize-step", "CPU per event", OF_DECODER, 1.5, times_fastest(DECODERS.keys() - READERS)),
    Goal("normalize-step", "CPU per event", OF_READER, 1.5, times_fastest(READERS)),
    Goal("whole-way", "events per CPU second", "x stock Faust", 20.0, ratio("faust", "whole-way"), is_least=True),
    Goal("latency-assemble", "p50", "ms", 50.0, figure("latency-assemble", "p50_ms")),
    Goal("latency-assemble", "p99", "ms", 150.0, figure("latency-assemble", "p99_ms")),
    Goal("latency-assemble", "CPU", "cores", 0.25, figure("latency-assemble", "cores")),
    Goal("latency", "p50", "ms", 50.0, figure("latency", "p50_ms")),
    Goal("latency", "p99", "ms", 150.0, figure("latency", "p99_ms")),
    Goal("latency", "CPU", "cores", 0.25, figure("latency", "cores")),
    Goal("two-workers", "events/s", "x one worker", 1.7, speed_up("two-workers", "assemble"), is_least=True),
    Goal("two-workers", "events per CPU second of both", "x one worker", 1.7, by_cpu("two-workers", "assemble"), is_least=True),
    Goal("open-100000", "memory", "bytes per open call", 1_500, figure("open-100000", "bytes_per_open_call")),
    Goal("open-1000000", "memory", "bytes per open call", 1_500, figure("open-1000000", "bytes_per_open_call")),
    Goal("open-1000000", "restart", "s", 15.0, figure("open-1000000", "restore_s")),
    Goal("replay", "CPU per event", "us", 66.7, figure("replay", "cpu_us_per_event")),
)


def judged(rows: Rows) -> list[Judged]:
    """Return the goals of the rows that were measured."""
    return [Judged(goal, _found(goal, rows)) for goal in GOALS if goal.row in rows]


def _found(goal: Goal, rows: Rows) -> float | None:
    try:
        return round(goal.value(rows), 2)
    except (KeyError, TypeError, ValueError):
        return None


def sentence(one: Judged) -> str:
    """Return, say, `goal: CPU per event at most 1.0 x the CPU of Kafka Streams: 2.3 x MISSED`."""
    goal = one.goal
    wanted = f"goal: {goal.what} {'at least' if goal.is_least else 'at most'} {goal.limit:,g} {goal.unit}"
    if one.found is None:
        return f"{wanted}: what it compares was not measured in this run"
    unit = goal.unit.split()[0]
    return f"{wanted}: {one.found:,g} {unit} {'met' if one.is_met else 'MISSED'}"
