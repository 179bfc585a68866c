"""What is done to a run, one function a harm; its docstring is what the table of results says of it.

A harm returns when the harm is done and seen, not when the pipeline has recovered: the next one may come in between.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from pipeline.app.topics import Names
from pipeline.engine.ending import Exit
from pipeline.engine.settings import transactional_id
from tests.chaos.brokers import GROUP, TRANSACTION, Brokers
from tests.chaos.crew import Crew, NotSeenError, Seat
from tests.chaos.feed import Feed
from tests.chaos.poison import burst

SESSION_S = 6
FROZEN_S = SESSION_S + 3.0
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
    """SIGTERM for one worker in the middle: it ends with 0 within 10 seconds, and another one takes its seat."""
    await field.crew.ready()
    seat = field.victim()
    began_s = asyncio.get_running_loop().time()
    code = await field.crew.stop(seat)
    took_s = asyncio.get_running_loop().time() - began_s
    seat.wanted = True
    if code != 0 or took_s > 10:
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


def die_at(point: str, stage: str) -> Do:
    """SIGKILL from inside, at one step of a transaction of one stage, or while its state is restored."""

    async def do(field: Field) -> None:
        crew = field.crew
        before = crew.kills
        if point == "while_restoring":
            victim = field.victim()
            victim.fault = f"{point}:{stage}"  # its successor's
            await killed(field, [victim])
            before = crew.kills
        else:
            await arm(field, f"{point}:{stage}")
        await crew.until(lambda: crew.kills > before, within_s=90, what=f"a death {point} in {stage}")
        await disarm(field)

    do.__name__ = f"die_{point}_in_{stage}"
    do.__doc__ = die_at.__doc__
    return do


async def arm(field: Field, fault: str) -> None:
    """One worker: the first that answers of all, in a random order."""
    await field.crew.ready()
    seats = [seat for seat in field.crew.seats.values() if seat.alive]
    field.dice.shuffle(seats)
    topic = {"normalize": "calls.raw.", "assemble": field.names.events, "tally": field.names.partials}[fault.partition(":")[2]]
    for seat in seats:
        status: list[dict[str, Any]] = await field.crew.page(seat, "/status") or []
        if any(topic in str(part) for part in status) and await field.crew.page(seat, f"/arm/{fault}"):
            return
    raise NotSeenError(f"no worker could be armed for {fault}")


async def disarm(field: Field) -> None:
    for seat in field.crew.seats.values():
        seat.fault = "-"


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
    await crew.until(lambda: all(halted(seat) for seat in crew.seats.values()), within_s=180, what="the halt of every worker")
    for seat in crew.seats.values():
        said = HALTED.findall(crew.log(seat))
        if not said or "--accept-bad" not in said[-1]:
            raise NotSeenError(f"worker {seat.number} halted without its sentence:\n{crew.log(seat)[-3000:]}")
    for seat in crew.seats.values():
        seat.accept_bad, seat.wanted = ABOVE, True
    await crew.ready()


def halted(seat: Seat) -> bool:
    return not seat.alive and seat.ends[-1:] == [Exit.HALTED]
