"""The short form of a chaos run, as part of the tests: everything but its moments follows from the seed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.run import Run, chaos

HALF_AN_HOUR_S = 1_800
"""A machine that is busy with something else is slow, not wrong: the deadlines inside say what they wait for."""


@pytest.mark.kafka
@pytest.mark.timeout(HALF_AN_HOUR_S)
def test_three_hundred_thousand_events_count_once_whatever_dies(tmp_path: Path) -> None:
    run = Run(seed=4, events=300_000, kills=8, brokers=1, form="short")
    outcome = asyncio.run(chaos(run, tmp_path))
    assert outcome.findings.lines() == []
    assert outcome.last_line == f"lost 0, double 0, wrong 0, kills {outcome.kills}, seed {run.seed}"
    assert outcome.kills >= run.kills
    assert outcome.records > run.events
    assert outcome.broker_kills == 1
