"""Makes a plan that fails smaller: fewer records, less harm, one worker, one partition, as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from tests.simulation.host import SAFE
from tests.simulation.plan import Plan

T = TypeVar("T")
MOST_RUNS = 600


def shrunk(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Return a plan that still fails and from which nothing more can be taken, or the best after MOST_RUNS runs."""
    runs = 0
    while runs < MOST_RUNS:
        for smaller in _smaller(plan):
            runs += 1
            if smaller != plan and fails(smaller):
                plan = smaller
                break
            if runs >= MOST_RUNS:
                return plan
        else:
            return plan
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    yield plan._replace(harms=(), perils=SAFE, workers=1)
    yield plan._replace(perils=SAFE)
    yield plan._replace(workers=1)
    for sends in _parts(plan.sends):
        yield plan._replace(sends=sends)
    for harms in _parts(plan.harms):
        yield plan._replace(harms=harms)
    sends = tuple(send._replace(place=(send.place[0], 0)) for send in plan.sends)
    yield plan._replace(partitions=1, sends=sends)
    yield plan._replace(sends=sends)
    yield plan._replace(engine=replace(plan.engine, chunk_records=1_000))
    yield plan._replace(end="ttl")


def _parts(things: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """What is left when a half, a quarter and so on is taken out, down to one."""
    size = len(things) // 2
    while size:
        for first in range(0, len(things), size):
            yield (*things[:first], *things[first + size :])
        size //= 2
    if len(things) == 1:
        yield ()
