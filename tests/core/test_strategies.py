"""The strategies reach nearly all rules, and the same seed draws the same calls; the oracle obeys the laws on what they draw."""

from __future__ import annotations

import collections

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pipeline.core.model import LegEvent, Policy
from tests.support.oracle import Tally, judge
from tests.support.strategies import calls, shuffled, traffic

OUTCOMES = {
    "legs": ("answered", "lose_race", "busy", "cancel", "failed", "timeout", "pending"),
    "calls": ("answered", "flow_out", "outside_working_hours", "abandoned", "busy", "timeout", "lose_race", "failed", "pending"),
}


def draws(count: int, seed_value: int) -> list[list[LegEvent]]:
    drawn: list[list[LegEvent]] = []

    @seed(seed_value)
    @settings(max_examples=count, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
    @given(calls())
    def draw(events: list[LegEvent]) -> None:
        drawn.append(events)

    draw()
    return drawn


def test_two_thousand_draws_reach_thirty_rules() -> None:
    seen: collections.Counter[str] = collections.Counter()
    for events in draws(2_000, seed_value=1):
        answer = judge(events, Policy(), until_ms=None)
        seen.update(row.rule for row in answer.legs.values() if row.rule)
    assert len(seen) >= 30, dict(seen)


def test_the_same_seed_draws_the_same_calls() -> None:
    assert draws(50, seed_value=7) == draws(50, seed_value=7)
    assert draws(50, seed_value=7) != draws(50, seed_value=8)


@settings(deadline=None)
@given(st.data())
def test_order_and_repetition_change_nothing(data: st.DataObject) -> None:
    events = data.draw(calls())
    assert judge(data.draw(shuffled(events)), Policy(), until_ms=None) == judge(events, Policy(), until_ms=None)


@settings(deadline=None)
@given(traffic(), st.sampled_from((None, 0, 5, 60, 600, 20_000)))
def test_offered_is_the_sum_of_the_results_and_pending(events: list[LegEvent], after_s: int | None) -> None:
    until_ms = None if after_s is None else max(event.at_ms for event in events) + after_s * 1000
    answer = judge(events, Policy(window_sizes_ms=(15_000, 900_000)), until_ms=until_ms)
    assert [key for key, tally in answer.tallies.items() if not _balances(tally)] == []
    if until_ms is None:
        cohorts = [tally for key, tally in answer.tallies.items() if key.attribution == "cohort"]
        assert not any({"legs_pending", "calls_pending"} & set(tally.counts) for tally in cohorts)


def _balances(tally: Tally) -> bool:
    return all(
        tally.counts.get(f"{unit}_offered", 0) == sum(tally.counts.get(f"{unit}_{word}", 0) for word in words)
        for unit, words in OUTCOMES.items()
    )


@settings(deadline=None)
@given(traffic())
def test_every_leg_that_is_not_pseudo_ends_in_exactly_one_result(events: list[LegEvent]) -> None:
    answer = judge(events, Policy(), until_ms=None)
    for row in answer.legs.values():
        assert (row.result is None) == (row.role == "pseudo")
        assert row.final
    assert {key[:2] for key, row in answer.legs.items() if row.role != "pseudo"} == set(answer.calls)
    assert all(call.result is not None for call in answer.calls.values())
