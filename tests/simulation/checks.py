"""What has to hold when a simulation is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import TypeVar

import msgspec
import structlog

from pipeline.app.assemble import AssembleStep
from pipeline.app.tally import TallyStep
from pipeline.core.model import AgentTallyRow, AuditRow, CallRow, LateRow, LegRow, TallyRow
from pipeline.workbench.offline import Row, key_of, last_rows
from tests.simulation.log import Place, Rec
from tests.simulation.memory import differing_state
from tests.simulation.world import World
from tests.support.comparison import CALL_COLUMNS, LEG_COLUMNS, differences, is_in_order, unbalanced
from tests.support.oracle import CallAnswer, LegAnswer, OracleAnswer, judge

R = TypeVar("R", LegRow, CallRow, TallyRow, AgentTallyRow, LateRow)
A = TypeVar("A", LegAnswer, CallAnswer)
VERDICT = ("result", "reason", "rule", "final")
LEG, CALL = msgspec.json.Decoder(LegRow), msgspec.json.Decoder(CallRow)
TALLY, AGENT_TALLY = msgspec.json.Decoder(TallyRow), msgspec.json.Decoder(AgentTallyRow)
LATE = msgspec.json.Decoder(LateRow)


def findings(world: World) -> list[str]:
    """Say everything that is wrong, what was seen on the way first. Empty: nothing is."""
    with structlog.testing.capture_logs():
        of_the_run = [*world.findings, *world.broker.findings]
        return [*of_the_run, *_wrong_rows(world), *_wrong_dead_letters(world), *_wrong_memory(world), *_wrong_replay(world)]


# -- rows


def _wrong_rows(world: World) -> Iterator[str]:
    legs, calls = _rows(world, world.names.legs, LEG), _rows(world, world.names.results, CALL)
    tallies, agents = _rows(world, world.names.tallies, TALLY), _rows(world, world.names.tallies_agents, AGENT_TALLY)
    late = _rows(world, world.names.late, LATE)
    rows: list[Row] = [*legs, *calls, *tallies, *agents]
    if world.plan.memory == "long":
        answer = judge(world.told, world.policy, until_ms=world.until_ms)
        yield from differences(rows, _as_far_as_said(answer, rows))
        yield from (f"late though facts are kept: {row}" for row in late)
    else:
        yield from _unaccounted(world, legs, late)
    yield from (f"does not balance: {row}" for row in unbalanced(rows))
    if not is_in_order((key_of(row), row.revision) for row in rows if not isinstance(row, LateRow | AuditRow)):
        yield from _disordered(rows)


def _rows(world: World, topic: str, decoder: msgspec.json.Decoder[R]) -> list[R]:
    """Every row ever published, in the order of each partition."""
    return [decoder.decode(record.value) for record in world.broker.decided(topic) if record.value is not None]


def _as_far_as_said(answer: OracleAnswer, rows: list[Row]) -> OracleAnswer:
    """Before a row is final only a changed verdict is worth a record, so its other columns may be older: let the answer have them."""
    last = last_rows(rows)
    legs = {key: _aged(leg, last.get(("legs", *key)), LEG_COLUMNS) for key, leg in answer.legs.items()}
    calls = {key: _aged(call, last.get(("results", *key)), CALL_COLUMNS) for key, call in answer.calls.items()}
    return replace(answer, legs=legs, calls=calls)


def _aged(answer: A, row: Row | None, columns: list[str]) -> A:
    if row is None or answer.final or answer.result is None:
        return answer
    return replace(answer, **{name: getattr(row, name) for name in columns if name not in VERDICT})


def _disordered(rows: list[Row]) -> Iterator[str]:
    known: dict[object, int] = {}
    for row in rows:
        if not isinstance(row, LateRow | AuditRow):
            key = key_of(row)
            if row.revision <= known.get(key, 0):
                yield f"revision {row.revision} of {key} after {known[key]}: {row}"
            known[key] = row.revision


def _unaccounted(world: World, legs: Iterable[LegRow], late: Iterable[LateRow]) -> list[str]:
    """Where facts are not kept for long, a leg of which an end is known has a row, or it came late, or both."""
    seen: set[tuple[str, str | None]] = {(row.tenant, row.leg_id) for row in legs} | {(row.tenant, row.leg_id) for row in late}
    pseudo = {
        (event.tenant, event.leg_id) for event in world.told if event.role == "pseudo" or {"machine_leg", "voicemail"} & {*event.flags}
    }
    ended = {(event.tenant, event.leg_id) for event in world.told if event.kind == "ended"}
    return [f"leg {leg} has neither a row nor come late" for leg in sorted(ended - seen - pseudo)]


# -- dead letters


def _wrong_dead_letters(world: World) -> Iterator[str]:
    found = Counter(map(_came_from, world.broker.decided(world.names.dead_letters)))
    expected = Counter((record.topic, record.partition, record.offset, record.value) for record in world.refused)
    yield from (f"dead letter of {where[:3]} {times} times, expected {expected[where]}" for where, times in (found - expected).items())
    yield from (f"no dead letter of {where}" for where in (expected - found))


def _came_from(record: Rec) -> tuple[str, int, int, bytes | None]:
    headers = dict(record.headers)
    topic, partition, offset = (headers[f"source-{name}"].decode() for name in ("topic", "partition", "offset"))
    return topic, int(partition), int(offset), record.value


# -- memory


def _wrong_memory(world: World) -> Iterator[str]:
    for host in world.at_work():
        for place, partition in host.engine._partitions.items():
            step = partition._step
            if step is not None:
                yield from differing_state(step, world.stage_of[place[0]], tuple(place), world.broker)
                if world.plan.end == "forgotten":
                    yield from _left_over(step, tuple(place))


def _left_over(step: object, place: Place) -> Iterator[str]:
    if isinstance(step, AssembleStep):
        state = step._state
        for name in ("calls", "closed", "slots", "dirty"):
            if getattr(state, name):
                yield f"{place}: {name} should be empty after all has been forgotten: {getattr(state, name)}"
    elif isinstance(step, TallyStep) and step._state.totals:
        yield f"{place}: totals should be empty after all has been forgotten: {step._state.totals}"


# -- the same log again


def _wrong_replay(world: World) -> Iterator[str]:
    """The same partition of calls.events, cut otherwise and without a crash, says the same last of every key, byte for byte."""
    chance = Random(world.plan.seed)
    stage = world.patient_stage(world.names.events)
    for partition in range(world.broker.counts[world.names.events]):
        records = list(world.broker.logs[world.names.events, partition].decided())
        step = stage.open(world.names.events, partition, world.broker.counts)
        step.restored("")
        again: dict[tuple[str, bytes | None], bytes | None] = {}
        while records:
            size = chance.randint(1, 60)
            batch, records = step.chunk(records[:size]), records[size:]
            for (topic, _), written in batch.outputs.items():
                again.update({(topic, key): value for key, value, _ in written})
        for topic in (world.names.legs, world.names.results):
            known = {record.key or b"": record.value for record in world.broker.logs[topic, partition].decided()}
            anew = {key or b"": value for (name, key), value in again.items() if name == topic}
            for key in sorted(known.keys() | anew.keys()):
                if known.get(key) != anew.get(key):
                    yield f"replay of {topic} {key!r}: {anew.get(key)!r}, was {known.get(key)!r}"
