"""A load of ring-all calls: a caller and five agents each, as canonical events in the order of time, and what must come of every leg.

The events are those that `normalize` makes of a FreeSWITCH's: two ends a leg (the notice, then the full record), about 330 bytes.
The plan is made with the calls, not derived from the events: nothing of the core judges it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from pipeline.core.model import LegEvent, Result

AGENTS = 5
EVENTS_PER_CALL = 25  # and a quarter, on average
QUEUES = 20
RECORD_LATE_MS = 40
RING_OUT_MS = 25_000

BEGINNING = 1 + AGENTS + AGENTS
"""Events of a call until all agents ring."""

Told = tuple[int, int, int, LegEvent]


class Load(NamedTuple):
    """`calls_per_s` and the length of talk make about 200 calls open at once."""

    calls: int
    begin_ms: int
    origin: str = ""
    tenant: str = ""
    calls_per_s: float = 5.0
    talk_ms: int = 40_000
    seed: int = 7


class Planned(NamedTuple):
    """One call: its events by time, and leg -> result."""

    events: list[LegEvent]
    results: dict[str, Result]


def stream(load: Load, results: dict[str, Result]) -> Iterator[LegEvent]:
    """Yield all calls' events in the order of time; fills `results` on the way."""
    yield from merged(calls(load, range(load.calls), results))


def ringing(load: Load) -> Iterator[LegEvent]:
    """Yield the beginning of every call in the order of time: the caller is there, all agents ring. Nothing has a result yet."""
    yield from merged((at_ms, events[:BEGINNING]) for at_ms, events in calls(load, range(load.calls), {}))


def going_on(load: Load, count: int, results: dict[str, Result]) -> Iterator[LegEvent]:
    """Yield what becomes of `count` of the calls that ring, chosen from all over, once all have begun."""
    hold_ms = int(load.calls * 1000 / load.calls_per_s)
    chosen = sorted(random.Random(load.seed).sample(range(load.calls), count))  # noqa: S311
    yield from merged((at_ms + hold_ms, later(events[BEGINNING:], hold_ms)) for at_ms, events in calls(load, chosen, results))


def calls(load: Load, numbers: Iterable[int], results: dict[str, Result]) -> Iterator[tuple[int, list[LegEvent]]]:
    for number in numbers:
        at_ms = load.begin_ms + int(number * 1000 / load.calls_per_s)
        planned = call(load, number, at_ms)
        results.update(planned.results)
        yield at_ms, planned.events


def later(events: Iterable[LegEvent], after_ms: int) -> list[LegEvent]:
    return [msgspec.structs.replace(event, at_ms=event.at_ms + after_ms) for event in events]


def merged(stories: Iterable[tuple[int, list[LegEvent]]]) -> Iterator[LegEvent]:
    """Yield the events of stories, which come in the order of their beginnings, in the order of time."""
    waiting: list[Told] = []
    for number, (begin_ms, events) in enumerate(stories):
        while waiting and waiting[0][0] <= begin_ms:
            yield heapq.heappop(waiting)[-1]
        for index, event in enumerate(events):
            heapq.heappush(waiting, (event.at_ms, number, index, event))
    while waiting:
        yield heapq.heappop(waiting)[-1]


def call(load: Load, number: int, at_ms: int) -> Planned:
    """Return one call: three of four are answered, in some of them an agent is busy; the others are given up or ring out."""
    dice = random.Random(f"{load.seed}/{number}")  # noqa: S311 - a load, not a secret
    teller = Teller(load, dice, at_ms)
    chance = dice.random()
    if chance < 0.75:
        teller.answered(is_one_busy=chance < 0.25)
    elif chance < 0.9:
        teller.given_up()
    else:
        teller.rung_out()
    return Planned(sorted(teller.events, key=lambda event: event.at_ms), teller.results)


class Teller:
    """Tells one call, fact by fact."""

    def __init__(self, load: Load, dice: random.Random, at_ms: int) -> None:
        self.events: list[LegEvent] = []
        self.results: dict[str, Result] = {}
        self._load = load
        self._dice = dice
        self._at_ms = at_ms
        self._caller, *self._agents = (uuid_of(dice) for _ in range(1 + AGENTS))
        self._queue = f"queue-{dice.randrange(QUEUES):02}"
        self._names = {leg_id: str(dice.randrange(1000, 1900)) for leg_id in self._agents}
        self._rang()

    def answered(self, *, is_one_busy: bool) -> None:
        winner, *losers = self._agents
        won_ms = self._dice.randrange(3_000, 15_000)
        over_ms = won_ms + self._dice.randrange(self._load.talk_ms // 2, self._load.talk_ms * 3 // 2)
        if is_one_busy:
            self._ended(losers.pop(), self._dice.randrange(300, 2_000), "USER_BUSY", "far_refused", Result.BUSY, sip_status=486)
        self._told(winner, "answered", won_ms)
        self._told(winner, "bridged", won_ms, peer_leg_id=self._caller)
        self._told(self._caller, "answered", won_ms)
        for leg_id in losers:
            self._ended(leg_id, won_ms, "LOSE_RACE", "platform", Result.LOSE_RACE)
        self._ended(winner, over_ms, "NORMAL_CLEARING", "platform", Result.ANSWERED)
        self._ended(self._caller, over_ms, "NORMAL_CLEARING", "far_hung_up", Result.ANSWERED)

    def given_up(self) -> None:
        at_ms = self._dice.randrange(4_000, 20_000)
        self._ended(self._caller, at_ms, "ORIGINATOR_CANCEL", "far_hung_up", Result.CANCEL)
        for leg_id in self._agents:
            self._ended(leg_id, at_ms, "ORIGINATOR_CANCEL", "platform", Result.CANCEL)

    def rung_out(self) -> None:
        for leg_id in self._agents:
            self._ended(leg_id, RING_OUT_MS, "NO_ANSWER", "platform", Result.TIMEOUT)
        self._ended(self._caller, RING_OUT_MS + 100, "NORMAL_CLEARING", "platform", Result.CANCEL)

    def _rang(self) -> None:
        self._told(self._caller, "offered", 0)
        for leg_id in self._agents:
            self._told(leg_id, "offered", 40)
            self._told(leg_id, "ringing", self._dice.randrange(100, 300))

    def _ended(self, leg_id: str, after_ms: int, cause: str, ended_by: str, result: Result, **more: Any) -> None:  # noqa: ANN401
        facts = {"cause": cause, "cause_space": "freeswitch", "ended_by": ended_by, **more}
        self._told(leg_id, "ended", after_ms, authority=1, **facts)
        self._told(leg_id, "ended", after_ms + RECORD_LATE_MS, **facts)
        self.results[leg_id] = result

    def _told(self, leg_id: str, kind: str, after_ms: int, **more: Any) -> None:  # noqa: ANN401
        self.events.append(
            LegEvent(
                leg_id=leg_id,
                kind=kind,  # type: ignore[arg-type]
                at_ms=self._at_ms + after_ms,
                tenant=self._load.tenant,
                source="freeswitch",
                source_seq=self._at_ms % 1_000_000,
                origin=self._load.origin,
                context="inbound_queue",
                **self._link(leg_id),
                **more,
            )
        )

    def _link(self, leg_id: str) -> dict[str, Any]:
        if leg_id == self._caller:
            return {"direction": "inbound", "role": "caller", "queue": self._queue}
        name = self._names[leg_id]
        return {"parent_leg_id": self._caller, "direction": "outbound", "role": "agent", "queue": self._queue, "agent": name}


def uuid_of(dice: random.Random) -> str:
    digits = f"{dice.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
