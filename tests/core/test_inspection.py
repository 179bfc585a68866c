"""Open calls, counted off the state, through the life of the story's ring-all call and of a leg under its own key."""

from __future__ import annotations

import pytest

from pipeline.core.inspection import Open, open_calls
from pipeline.core.model import Policy
from pipeline.workbench.offline import Offline
from tests.app.story import BEGIN_MS, EVENTS, told

OLDEST = BEGIN_MS


@pytest.mark.parametrize(
    ("events", "then_s", "expected"),
    [
        (0, 0, Open(0, None)),
        (1, 0, Open(1, OLDEST)),  # the caller is offered
        (7, 6, Open(1, OLDEST)),  # an agent has lost, which is provisional
        (10, 40, Open(1, OLDEST)),  # the caller has hung up, the winner not yet
        (11, 40, Open(1, OLDEST)),  # all have ended, and it may not be over yet
        (11, 46, Open(0, None)),  # settled
        (11, 40_000, Open(0, None)),  # dropped
        (3, 20_000, Open(0, None)),  # never ended, past every time to live
    ],
)
def test_a_call_is_open_until_its_last_word_is_said(events: int, then_s: int, expected: Open) -> None:
    offline = Offline(Policy())
    for event in EVENTS[:events]:
        offline.send(event)
    offline.send_watermark(BEGIN_MS + then_s * 1000)
    offline.run()
    assert open_calls(offline.parts[0].calls.values()) == expected


def test_a_key_that_only_passes_facts_on_is_no_call() -> None:
    offline = Offline(Policy(), partitions=1)
    offline.send(told("bob", "ringing", 2))
    offline.send_watermark(BEGIN_MS)
    offline.run()
    assert open_calls(offline.parts[0].calls.values()).calls == 1, "until its link is known it is a call of its own"
    offline.send(told("ann", "offered", 1, direction="inbound"))
    offline.send(told("bob", "offered", 1, parent_leg_id="ann"))
    offline.send_watermark(BEGIN_MS + 3_000)
    offline.run()
    assert len(offline.parts[0].calls) == 2
    assert open_calls(offline.parts[0].calls.values()) == Open(1, BEGIN_MS + 1_000)
