"""Which harm is done when, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal, NamedTuple, get_args

from pipeline.app.worker import AGENTS
from pipeline.engine.observer import FaultPoint
from tests.chaos import harms
from tests.chaos.harms import Do, Harm

Form = Literal["short", "full"]
RESTORING = "while_restoring"
STATEFUL = ("assemble", "tally")
FIRST_SHARE, LAST_SHARE = 0.04, 0.90

OTHERS: dict[Form, tuple[Do, ...]] = {
    "short": (harms.terminate_one, harms.join_and_leave_3_times, harms.freeze_past_the_session, harms.poison_below_the_limit,
              harms.poison_above_the_limit),
    "full": (harms.terminate_one, harms.terminate_one, harms.join_and_leave_20_times, harms.freeze_past_the_session,
             harms.freeze_past_the_session, harms.poison_below_the_limit, harms.poison_below_the_limit, harms.poison_above_the_limit),
}  # fmt: skip
OF_ONE_BROKER: dict[Form, tuple[Do, ...]] = {
    "short": (harms.kill_the_broker,),
    "full": (harms.kill_the_broker, harms.kill_the_broker, harms.kill_the_broker_for_long),
}
OF_THREE_BROKERS: tuple[Do, ...] = (
    harms.kill_a_leader, harms.kill_a_transaction_coordinator, harms.kill_the_group_coordinator, harms.freeze_a_broker,
)  # fmt: skip


class Strike(NamedTuple):
    """A harm, and the share of the input at which it is done."""

    share: float
    harm: Harm


def plan(seed: int, *, kills: int, brokers: int, form: Form) -> list[Strike]:
    """The strikes in their order; the SIGKILLs of workers among them are `kills` in number."""
    dice = Random(f"{seed}/plan")
    others = OTHERS[form] + (OF_ONE_BROKER[form] if brokers == 1 else OF_THREE_BROKERS)
    chosen = [*deaths(dice, kills), *(Harm(do) for do in others)]
    dice.shuffle(chosen)
    step = (LAST_SHARE - FIRST_SHARE) / len(chosen)
    return [Strike(FIRST_SHARE + step * (number + dice.random()), harm) for number, harm in enumerate(chosen)]


def deaths(dice: Random, kills: int) -> list[Harm]:
    """All workers once in 16 kills, every step of a transaction as far as the number goes, the rest at random moments."""
    found = [Harm(harms.kill_all, kills=2)] * min(kills // 2, 1 + kills // 16)
    for harm in steps(dice):
        if _kills(found) + harm.kills <= kills:
            found.append(harm)
    return found + [Harm(harms.kill_one, kills=1)] * (kills - _kills(found))


def steps(dice: Random) -> list[Harm]:
    """A death at every point of every stage, every point once before any comes again."""
    points: tuple[FaultPoint, ...] = get_args(FaultPoint)
    rounds: list[list[Harm]] = [[], [], []]
    for point in points:
        stages = list(STATEFUL if point == RESTORING else AGENTS)
        dice.shuffle(stages)
        for turn, stage in enumerate(stages):
            rounds[turn].append(Harm(harms.die_at(point, stage), kills=2 if point == RESTORING else 1))
    for found in rounds:
        dice.shuffle(found)
    return [harm for found in rounds for harm in found]


def _kills(chosen: Sequence[Harm]) -> int:
    return sum(harm.kills for harm in chosen)
