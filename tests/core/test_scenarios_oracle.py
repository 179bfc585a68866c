"""The independent oracle passes every scenario, in any order of its events and with repetitions, and every seed sentence has one."""

from __future__ import annotations

import random
import re

import pytest

from pipeline.core.model import LegEvent
from tests.support.oracle import OracleAnswer, callers, judge
from tests.support.scenario import Scenario, load, parse

SCENARIOS = load()
SEEDS = (  # the project's definitions as the verdicts quote them: word, phrase, the scenario that shows it
    ("Answered", "answered by the receiver", "S01"),
    ("Lose-race", "Ring All", "S01"),
    ("Cancel", "canceled by the caller", "S04"),
    ("Cancel", "abandoned calls", "S05"),
    ("Cancel", "outside working hours", "S09"),
    ("Cancel", "the customer does not answer", "S15"),
    ("Timeout", "this threshold is reached", "S10"),
    ("Busy", "gives you a busy signal", "S12"),
    ("Busy", "the customer has blocked your number", "S13"),
    ("Failed", "number without country code", "S16"),
    ("Failed", "internet/network issues", "S17"),
    ("Failed", "when you run out of balance", "S42"),
    ("NORMAL_CLEARING", "", "S01"),
    ("ORIGINATOR_CANCEL", "", "S04"),
    ("USER_BUSY", "", "S12"),
    ("CALL_REJECTED", "outage or caller ID", "S14"),
    ("UNALLOCATED_NUMBER", "", "S16"),
    ("NORMAL_TEMPORARY_FAILURE", "", "S17"),
    ("RECOVERY_ON_TIMER_EXPIRE", "", "S17"),
    ("NO_USER_RESPONSE", "temporarily unavailable", "S18"),
)


def orders(scenario: Scenario) -> list[list[LegEvent]]:
    """As told, backwards, and eight shuffles in which every event comes once to three times."""
    chance = random.Random(scenario.id)
    repeated = [[event for event in scenario.events for _ in range(chance.randint(1, 3))] for _ in range(8)]
    for events in repeated:
        chance.shuffle(events)
    return [list(scenario.events), list(reversed(scenario.events)), *repeated]


def told(scenario: Scenario, answer: OracleAnswer) -> dict[str, object]:
    """The answer in the words of the scenario."""
    legs = {leg_id: (row.result, row.reason, row.rule) if row.result else () for (_, _, leg_id), row in answer.legs.items()}
    first = scenario.events[0].leg_id
    call_id = next(call_id for _, call_id, leg_id in answer.legs if leg_id == first)
    visits = {(visit.queue, visit.result, visit.reason, visit.wait_ms) for visit in answer.visits.values()} if scenario.visits else set()
    return {"legs": legs, "call": answer.calls["", call_id].result, "visits": visits}


def wanted(scenario: Scenario) -> dict[str, object]:
    return {
        "legs": {expected.leg_id: expected.words for expected in scenario.expected},
        "call": scenario.call_result,
        "visits": {(visit.queue, visit.result, visit.reason, visit.wait_ms) for visit in scenario.visits},
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario_holds_in_any_order_and_with_repetitions(scenario: Scenario) -> None:
    for events in orders(scenario):
        assert told(scenario, judge(events, scenario.policy, until_ms=scenario.until_ms)) == wanted(scenario)


@pytest.mark.parametrize("table", ["OFFERED_RULES", "CALLER_RULES"])
def test_every_row_of_the_rule_tables_is_needed_by_a_scenario(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = getattr(callers, table)
    for number, (name, rule) in enumerate(rows):
        monkeypatch.setattr(callers, table, rows[:number] + rows[number + 1 :])
        assert any(fails(scenario) for scenario in SCENARIOS), (name, rule)


def fails(scenario: Scenario) -> bool:
    try:
        return told(scenario, judge(scenario.events, scenario.policy, until_ms=scenario.until_ms)) != wanted(scenario)
    except (KeyError, ValueError):  # the row was the last that answers for some cause
        return True


def test_no_scenario_is_missing() -> None:
    ids = [scenario.id for scenario in SCENARIOS]
    assert len(ids) == len(set(ids))
    assert {f"S{number:02}" for number in range(1, 63)} <= set(ids)


@pytest.mark.parametrize(("word", "phrase", "scenario_id"), SEEDS)
def test_every_seed_sentence_has_a_scenario_that_says_so(word: str, phrase: str, scenario_id: str) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.id == scenario_id)
    seeds = ", ".join(re.findall(r"\(seed: ([^)]*)\)", scenario.title))
    assert f'{word} "{phrase}"' in seeds if phrase else re.search(rf"\b{word}\b", seeds)
    results = {expected.words[0] for expected in scenario.expected if expected.words}
    assert word in results | {event.cause for event in scenario.events}


def test_the_six_results_and_eight_causes_are_all_in_the_table_of_seeds() -> None:
    words = {word for word, _, _ in SEEDS}
    assert {word for word in words if not word.isupper()} == {"Answered", "Busy", "Cancel", "Failed", "Lose-race", "Timeout"}
    assert len({word for word in words if word.isupper()}) == 8


@pytest.mark.parametrize(
    "text",
    [
        "S63 no brackets",
        "S63 [Busy] title\nann caller 0 offer",
        "S63 [Busy] title\nann caller | 0 sings => -",
        "S63 [Busy] t\nann tall | 0 offer => -",
    ],
)
def test_a_scenario_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"S63 no brackets|ann"):
        list(parse(text))
