"""Every scenario of the verdicts on the steps of the core, in any order of its events and with repetitions."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from pipeline.core.model import CallRow, LegRow
from pipeline.workbench.offline import Offline, last_rows
from tests.core.test_laws import FAR_MS
from tests.support.scenario import Scenario, load

ORIGIN = "calls.raw.canonical/0"
ORDERS = 6


def told(scenario: Scenario, chance: Random, partitions: int) -> Offline:
    """The scenario's events in a drawn order, some twice, and stream time at its closing watermark."""
    events = [*scenario.events, *chance.choices(scenario.events, k=3)]
    chance.shuffle(events)
    flow = Offline(scenario.policy, partitions=partitions)
    for event in events:
        flow.send(msgspec.structs.replace(event, origin=ORIGIN))
        if chance.random() < 0.5:
            flow.run()
    flow.run()
    until_ms = scenario.until_ms
    flow.send_watermark(max(event.at_ms for event in events) + FAR_MS if until_ms is None else until_ms, ORIGIN)
    flow.run()
    return flow


@pytest.mark.parametrize("scenario", load(), ids=str)
def test_the_steps_say_what_the_scenario_expects(scenario: Scenario) -> None:
    for seed in range(ORDERS):
        rows = last_rows(told(scenario, Random(seed), 1 + seed % 3).rows).values()
        legs = {row.leg_id: row for row in rows if isinstance(row, LegRow) and not row.is_deleted}
        said = {leg_id: (str(row.result), row.reason, row.rule) for leg_id, row in legs.items()}
        assert said == {expected.leg_id: expected.words for expected in scenario.expected if expected.words}
        calls = {row.call_id: row.result for row in rows if isinstance(row, CallRow) and not row.is_deleted}
        first = scenario.expected[0].leg_id
        call_id = legs[first].call_id if first in legs else first
        assert calls.get(call_id) == scenario.call_result
