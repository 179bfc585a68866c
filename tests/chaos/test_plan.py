"""The plan of a run: the same for the same seed, and complete."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline.app.worker import AGENTS
from pipeline.engine.observer import FaultPoint
from tests.chaos.plan import plan


def names(seed: int, *, kills: int = 50, brokers: int = 1) -> list[str]:
    return [strike.harm.name for strike in plan(seed, kills=kills, brokers=brokers, form="full")]


def test_the_same_seed_plans_the_same() -> None:
    first, again = (plan(5, kills=20, brokers=3, form="full") for _ in range(2))
    assert [(strike.share, strike.harm.name) for strike in first] == [(strike.share, strike.harm.name) for strike in again]
    assert names(5) != names(6)


@pytest.mark.parametrize("kills", [0, 1, 2, 7, 12, 16, 50, 80])
@pytest.mark.parametrize("seed", range(5))
def test_as_many_are_killed_as_asked_for(kills: int, seed: int) -> None:
    assert sum(strike.harm.kills for strike in plan(seed, kills=kills, brokers=1, form="full")) == kills


@pytest.mark.parametrize("seed", range(5))
def test_fifty_kills_hit_every_step_of_every_stage(seed: int) -> None:
    steps = {f"die {point} in {stage}".replace("_", " ") for point in get_args(FaultPoint) for stage in AGENTS}
    impossible = {"die while restoring in normalize"}
    assert {name for name in names(seed) if name.startswith("die ")} == steps - impossible


def test_strikes_come_in_order_and_before_the_input_ends() -> None:
    shares = [strike.share for strike in plan(1, kills=50, brokers=3, form="full")]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 0.95


def test_every_harm_has_a_sentence() -> None:
    for brokers in (1, 3):
        assert [strike.harm.name for strike in plan(1, kills=30, brokers=brokers, form="full") if len(strike.harm.sentence) < 30] == []


def test_three_brokers_lose_leader_and_both_coordinators() -> None:
    assert {"kill a leader", "kill a transaction coordinator", "kill the group coordinator"} <= set(names(1, brokers=3))
