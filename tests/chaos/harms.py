"""What is done to a run, one function a harm; its docstring is what the table of results says of it.

A harm returns when the harm is done and seen, not when the pipeline has recovered: the next one may come in between.
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from pipeline.app.topics import Names
from pipeline.engine.ending import Exit
from pipeline.engine.observer import FaultPoint
from pipeline.engine.settings import transactional_id
from tests.chaos.brokers import GROUP, TRANSACTION, Brokers
from tests.chaos.crew import Crew, NotSeenError, Seat
from tests.chaos.feed import Feed
from tests.chaos.poison import burst

SESSION_S = 6
PATIENCE_S = 300.0
"""For what must happen: long, since a busy machine is slow, not wrong."""
FROZEN_S = SESSION_S + 3.0
END_S = 15.0
CUT_SHORT = "closing.cut_short"
"""What a worker says whose last transaction takes too long; a new owner aborts it and does it again."""
BROKER_AWAY_S = 3.0
LONG_AWAY_S = 20.0
BAD_LIMIT = 300
ABOVE = 450
HALTED = re.compile(r"worker\.halted.*")


@dataclass
class Field:
    """Where harm is done."""

    crew: Crew
    brokers: Brokers
    feed: Feed
    names: Names
    app_id: str
    partitions: int
    dice: Random

    def victim(self) -> Seat:
        alive = [seat for seat in self.crew.seats.values() if seat.alive and seat.wanted]
        return self.dice.choice(alive or list(self.crew.seats.values()))


Do: TypeAlias = Callable[[Field], Awaitable[None]]


@dataclass(frozen=True)
class Harm:
    """`kills`: the SIGKILLs of workers that it stands for, with a crew of two."""

    do: Do
    kills: int = 0

    @property
    def name(self) -> str:
        return self.do.__name__.replace("_", " ")

    @property
    def sentence(self) -> str:
        return " ".join((self.do.__doc__ or "").split())


# -- workers


async def kill_one(field: Field) -> None:
    """SIGKILL for one worker at a random moment."""
    await asyncio.sleep(field.dice.random())
    await killed(field, [field.victim()])


async def kill_all(field: Field) -> None:
    """SIGKILL for all workers at the same moment."""
    await killed(field, [seat for seat in field.crew.seats.values() if seat.alive])


async def killed(field: Field, seats: list[Seat]) -> None:
    ends = {seat.number: len(seat.ends) for seat in seats}
    for seat in seats:
        field.crew.kill(seat)
    await field.crew.until(lambda: all(len(seat.ends) > ends[seat.number] for seat in seats), within_s=30, what="the end after SIGKILL")


async def terminate_one(field: Field) -> None:
    """SIGTERM for one worker in the middle: it ends by itself in about 10 seconds, and another one takes its seat."""
    await field.crew.ready()
    seat = field.victim()
    began_s = time.monotonic()
    code = await field.crew.stop(seat)
    took_s = time.monotonic() - began_s
    seat.wanted = True
    if took_s > END_S or (code != Exit.CLEAN and CUT_SHORT not in field.crew.log(seat)[-3_000:]):
        raise NotSeenError(f"worker {seat.number} ended with {code} {took_s:.1f} s after SIGTERM:\n{field.crew.log(seat)[-3000:]}")


async def storm(field: Field, times: int) -> None:
    for _ in range(times):
        seat = field.crew.add()
        await field.crew.until_page(seat, "/livez")
        await asyncio.sleep(field.dice.random() * 2)  # before, while or after the group has assigned it something
        await field.crew.dismiss(seat)


async def join_and_leave_3_times(field: Field) -> None:
    """A worker more joins and leaves, three times in a row: six rebalances."""
    await storm(field, 3)


async def join_and_leave_20_times(field: Field) -> None:
    """A worker more joins and leaves, twenty times in a row: forty rebalances."""
    await storm(field, 20)


async def freeze_past_the_session(field: Field) -> None:
    """SIGSTOP for longer than the session timeout, then SIGCONT: the zombie must be fenced, or see that it owns nothing any more."""
    await field.crew.ready()
    seat = field.victim()
    field.crew.signal(seat, signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    field.crew.signal(seat, signal.SIGCONT)


def die_at(point: FaultPoint, stage: str) -> Do:
    """SIGKILL from inside, at one step of a transaction of one stage, or while its state is restored."""

    async def do(field: Field) -> None:
        crew = field.crew
        await crew.ready()
        owner = await owner_of(field, stage)
        fault, victims = f"{point}:{stage}", 1
        if point == "while_restoring":  # whoever is to restore what the owner had dies too
            victims = 2
            for seat in crew.seats.values():
                seat.fault = fault
                await crew.page(seat, f"/arm/{fault}")
        before = crew.kills
        if point == "while_restoring":
            crew.kill(owner)
        else:
            await crew.until_page(owner, f"/arm/{fault}")
            await fall_back(field, fault, before)
        await crew.until(lambda: crew.kills >= before + victims, within_s=PATIENCE_S, what=f"a death {point} in {stage}")
        await disarm(field)

    do.__name__ = f"die_{point}_in_{stage}"
    do.__doc__ = die_at.__doc__
    return do


async def fall_back(field: Field, fault: str, before: int) -> None:
    """A rebalance may have taken the stage from the armed one: then whoever comes to the point dies."""
    try:
        await field.crew.until(lambda: field.crew.kills > before, within_s=PATIENCE_S / 5, what=f"a death at {fault}")
    except NotSeenError:
        for seat in field.crew.seats.values():
            await field.crew.page(seat, f"/arm/{fault}")


async def owner_of(field: Field, stage: str) -> Seat:
    """A worker that has a partition of the stage; a machine that is busy may take a while to say so."""
    topic = {"normalize": "calls.raw.", "assemble": field.names.events, "tally": field.names.partials}[stage]
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        seats = [seat for seat in field.crew.seats.values() if seat.alive]
        field.dice.shuffle(seats)
        for seat in seats:
            if topic in str(await field.crew.page(seat, "/status")):
                return seat
        await asyncio.sleep(0.5)
    raise NotSeenError(f"no worker has a partition of {stage}")


async def disarm(field: Field) -> None:
    for seat in field.crew.seats.values():
        seat.fault = "-"
        await field.crew.page(seat, "/arm/-")


# -- brokers


async def kill_the_broker(field: Field) -> None:
    """SIGKILL for the only broker; it starts again 3 seconds later."""
    await field.brokers.kill(1, away_s=BROKER_AWAY_S)


async def kill_the_broker_for_long(field: Field) -> None:
    """SIGKILL for the only broker; it starts again 20 seconds later, when every session and transaction has timed out."""
    await field.brokers.kill(1, away_s=LONG_AWAY_S)


async def kill_a_leader(field: Field) -> None:
    """SIGKILL for the broker that leads a partition of calls.events; it starts again 3 seconds later."""
    number = await field.brokers.leader_of(field.names.events, field.dice.randrange(field.partitions))
    await field.brokers.kill(number, away_s=BROKER_AWAY_S)


async def kill_a_transaction_coordinator(field: Field) -> None:
    """SIGKILL for the broker that coordinates the transactions of a partition; it starts again 3 seconds later."""
    name = transactional_id(field.app_id, field.names.events, field.dice.randrange(field.partitions))
    await field.brokers.kill(await field.brokers.coordinator_of(name, TRANSACTION), away_s=BROKER_AWAY_S)


async def kill_the_group_coordinator(field: Field) -> None:
    """SIGKILL for the broker that coordinates the consumer group; it starts again 3 seconds later."""
    await field.brokers.kill(await field.brokers.coordinator_of(field.app_id, GROUP), away_s=BROKER_AWAY_S)


async def freeze_a_broker(field: Field) -> None:
    """SIGSTOP for a random broker, SIGCONT 8 seconds later: by then the others have voted it out."""
    await field.brokers.freeze(field.dice.randint(1, field.brokers.count), away_s=8.0)


# -- records


async def poison_below_the_limit(field: Field) -> None:
    """Bursts of bad records in a row, each shorter than the stop limit: dead letters, and nothing stops."""
    for _ in range(3):
        count = field.dice.randint(20, BAD_LIMIT - 10)
        await field.feed.poison(*place_of_poison(field), burst(field.dice, count))
        await field.feed.reached(field.feed.sent + 500)  # good ones between


def place_of_poison(field: Field) -> tuple[str, int]:
    """Where good records come all the time, and end the row."""
    return field.dice.choice([(source, 2) for source in ("east", "west", "north")])


async def poison_above_the_limit(field: Field) -> None:
    """More bad records in a row than the stop limit: the workers halt with exit 3 and a sentence, and go on after --accept-bad."""
    crew = field.crew
    await field.feed.poison(*place_of_poison(field), burst(field.dice, ABOVE))
    await crew.until(lambda: all(halted(seat) for seat in crew.seats.values()), within_s=PATIENCE_S, what="the halt of every worker")
    for seat in crew.seats.values():
        said = HALTED.findall(crew.log(seat))
        if not said or "--accept-bad" not in said[-1]:
            raise NotSeenError(f"worker {seat.number} halted without its sentence:\n{crew.log(seat)[-3000:]}")
    for seat in crew.seats.values():
        seat.accept_bad, seat.wanted = ABOVE, True
    await crew.ready()


def halted(seat: Seat) -> bool:
    return not seat.alive and seat.ends[-1:] == [Exit.HALTED]
