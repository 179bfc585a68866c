"""The laws: whatever the order, the repetitions, the cut into chunks and the spread over partitions, the answer is the oracle's.

Traffic is drawn (tests/support/strategies.py), run through the steps of the core over in-memory partitions, and compared with the
batch oracle: every column of every leg, every call, every window.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.model import Counts, LegEvent, LegRow, Policy, TallyRow
from pipeline.core.routing import Item
from pipeline.workbench.offline import Offline, Row, key_of, last_rows
from tests.support.oracle import LegAnswer, OracleAnswer, judge
from tests.support.strategies import traffic

POLICY = Policy(window_sizes_ms=(60_000, 900_000))
SHARED = [name for name in LegAnswer.__dataclass_fields__ if name in LegRow.__struct_fields__]
PAIRS = (("offered", "answered", "lose_race", "busy", "cancel", "failed", "timeout", "pending"),)
FAR_MS = 20 * 3_600_000
"""Past every time to live and settling, and less than retention's two days of windows."""


def play(events: list[LegEvent], *, seed: int, partitions: int, most: int, direct: bool, policy: Policy = POLICY) -> Offline:
    """Run events in the given order through partitions that take turns by chance, `most` items a chunk, then end the input."""
    flow = Offline(policy, partitions=partitions)
    _feed(flow, events, Random(seed), most, direct=direct)
    return flow


def _feed(flow: Offline, events: list[LegEvent], chance: Random, most: int, *, direct: bool) -> None:
    for event in events:
        flow.send(event if direct else _with_origin(event))
        if chance.random() < 0.3:
            flow.take(chance.randrange(len(flow.queues)), chance.randint(1, most))
        if not direct and chance.random() < 0.2:
            flow.send_watermark(event.at_ms, origin="raw/0")
    _drain(flow, chance, most)
    flow.send_watermark(max(event.at_ms for event in events) + FAR_MS)
    _drain(flow, chance, most)


def _with_origin(event: LegEvent) -> LegEvent:
    return replace(event, origin="raw/0")


def _drain(flow: Offline, chance: Random, most: int) -> None:
    while any(flow.queues):
        busy = [index for index, queue in enumerate(flow.queues) if queue]
        flow.take(chance.choice(busy), chance.randint(1, most))


def differences(flow: Offline, answer: OracleAnswer) -> list[str]:
    """Say where the last rows of every key and the oracle's answer differ."""
    last = last_rows(flow.rows)
    legs = {key[1:]: row for key, row in last.items() if isinstance(row, LegRow) and not row.is_deleted}
    wanted = {key: leg for key, leg in answer.legs.items() if leg.result is not None}
    found = [f"leg {key}: missing {key in wanted} extra {key in legs}" for key in sorted({*legs} ^ {*wanted})]
    for key in sorted({*legs} & {*wanted}):
        theirs = {name: getattr(wanted[key], name) for name in SHARED}
        ours = {name: getattr(legs[key], name) for name in SHARED}
        found += [f"leg {key}.{name}: ours {ours[name]!r} oracle {theirs[name]!r}" for name in SHARED if ours[name] != theirs[name]]
    calls = {key[1:]: row for key, row in last.items() if key[0] == "results" and not row.is_deleted}
    results = {key: call for key, call in answer.calls.items() if call.result is not None}
    found += [f"call {key}: missing {key in results} extra {key in calls}" for key in sorted({*calls} ^ {*results})]
    for key in sorted({*calls} & {*results}):
        for name in ("result", "reason", "rule", "decided_by_leg_id", "final", "needs_review", "winner_leg_id"):
            if getattr(calls[key], name) != getattr(results[key], name):
                found.append(f"call {key}.{name}: ours {getattr(calls[key], name)!r} oracle {getattr(results[key], name)!r}")
    return found + _window_differences(last.values(), answer)


def _window_differences(rows: object, answer: OracleAnswer) -> list[str]:
    ours = {}
    for row in rows:
        if isinstance(row, TallyRow):
            counts = {name: getattr(row, name) for name in Counts.__struct_fields__ if getattr(row, name)}
            if counts:
                ours[row.tenant, row.queue, row.window_size_s * 1000, row.window_start_ms] = counts
    theirs = {
        key: {name: getattr(counts, name) for name in Counts.__struct_fields__ if getattr(counts, name)}
        for key, counts in answer.tallies.items()
    }
    return [
        f"window {key}: ours {ours.get(key)} oracle {theirs.get(key)}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]


def unbalanced(rows: list[Row]) -> list[TallyRow]:
    """Return the rows, of all ever put out, whose offered is not the sum of the other columns."""
    wrong = []
    for row in rows:
        if isinstance(row, TallyRow):
            for unit in ("legs", "calls"):
                offered, *others = (getattr(row, f"{unit}_{word}") for word in PAIRS[0])
                if offered != sum(others) or min(offered, *others) < 0:
                    wrong.append(row)
    return wrong


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(events=traffic(), seed=st.integers(0, 2**32), partitions=st.integers(1, 4), most=st.integers(1, 9), direct=st.booleans())
def test_any_order_repetition_cut_and_spread_gives_the_oracles_answer(
    events: list[LegEvent], seed: int, partitions: int, most: int, direct: bool
) -> None:
    chance = Random(seed)
    told = events + chance.choices(events, k=chance.randint(0, len(events)))
    chance.shuffle(told)
    flow = play(told, seed=seed, partitions=partitions, most=most, direct=direct)
    answer = judge(events, POLICY, until_ms=max(event.at_ms for event in events) + FAR_MS)
    assert differences(flow, answer) == []
    assert unbalanced(flow.rows) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(events=traffic(), seed=st.integers(0, 2**32))
def test_no_key_and_revision_twice_and_revisions_never_go_back(events: list[LegEvent], seed: int) -> None:
    flow = play(events, seed=seed, partitions=3, most=5, direct=False)
    seen: dict[tuple[object, ...], int] = {}
    for row in flow.rows:
        if key_of(row)[0] != "late":
            assert row.revision > seen.get(key_of(row), 0), row
            seen[key_of(row)] = row.revision


class Logged(Offline):
    """Remembers what was put into each partition; given such a log, takes it and nothing else."""

    def __init__(self, log: list[list[Item]] | None = None) -> None:
        super().__init__(POLICY, partitions=2)
        self.is_replay = log is not None
        self.log: list[list[Item]] = [[], []] if log is None else log
        for queue, items in zip(self.queues, self.log, strict=True):
            queue.extend(items)

    def put(self, index: int, item: Item) -> None:
        if not self.is_replay:
            self.log[index].append(item)
            super().put(index, item)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(events=traffic(), seed=st.integers(0, 2**32), most=st.integers(2, 50), direct=st.booleans())
def test_the_same_logs_give_the_same_rows_however_they_are_cut(events: list[LegEvent], seed: int, most: int, direct: bool) -> None:
    first = Logged()
    _feed(first, events, Random(seed), 1, direct=direct)
    again = Logged(first.log)
    _drain(again, Random(seed + 1), most)
    for kind in ("legs", "results"):
        for call_id in {row.call_id for row in first.rows if key_of(row)[0] == kind}:
            assert _of(again, kind, call_id) == _of(first, kind, call_id)
    assert last_rows(again.rows) == last_rows(first.rows)


def _of(flow: Offline, kind: str, call_id: str) -> list[Row]:
    return [row for row in flow.rows if key_of(row)[0] == kind and row.call_id == call_id]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(events=traffic(), seed=st.integers(0, 2**32))
def test_state_is_empty_after_retention_and_marker_life(events: list[LegEvent], seed: int) -> None:
    flow = play(events, seed=seed, partitions=2, most=5, direct=False)
    for _ in range(3):
        flow.send_watermark(max(event.at_ms for event in events) + FAR_MS + 2 * POLICY.closed_memory_ms)
        _drain(flow, Random(seed), 5)
    for state in flow.parts:
        assert (state.calls, state.closed, state.slots, state.dirty) == ({}, {}, {}, {})
    assert flow.totals.totals == {}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(events=traffic(), seed=st.integers(0, 2**32))
def test_a_call_has_one_row_for_each_ended_leg_and_no_leg_stands_in_two_calls(events: list[LegEvent], seed: int) -> None:
    flow = play(events, seed=seed, partitions=3, most=3, direct=False)
    legs = [row for row in last_rows(flow.rows).values() if isinstance(row, LegRow) and not row.is_deleted]
    assert all(row.result is not None for row in legs)
    assert max(Counter((row.tenant, row.leg_id) for row in legs).values(), default=1) == 1


@pytest.mark.parametrize("silence_ms", [POLICY.retention_ms, POLICY.closed_memory_ms - 1_000])
def test_what_comes_after_a_call_is_gone_is_late_and_never_a_second_verdict(silence_ms: int) -> None:
    flow = Offline(POLICY)
    for kind, at_ms in (("offered", 1_000), ("ended", 9_000)):
        flow.send(LegEvent(leg_id="ann", kind=kind, at_ms=at_ms, direction="inbound", cause="ORIGINATOR_CANCEL", origin="raw/0"))
    flow.run()
    flow.send_watermark(9_000 + POLICY.settle_ms + silence_ms)
    flow.run()
    before = len(flow.rows)
    flow.send(LegEvent(leg_id="ann", kind="answered", at_ms=5_000, origin="raw/0"))
    flow.run()
    flow.send_watermark(9_000 + POLICY.settle_ms + silence_ms + 1)
    flow.run()
    late = flow.rows[before:]
    assert [(row.reason, row.leg_id, row.kind) for row in late] == [("call_closed", "ann", "answered")]
