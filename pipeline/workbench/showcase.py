"""The one call that the demo draws: a race with a winner and a few losers, and its events from the topic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pipeline.app import codec
from pipeline.app.topics import names
from pipeline.core.model import LegEvent, LegRow, Result
from pipeline.errors import BadRecord
from pipeline.settings import Settings
from pipeline.workbench.topiclog import TopicLog

FEWEST_LOSERS, MOST_LOSERS = 3, 5
"""So many make a race that is worth a look and fills no screen."""


def race(rows: Iterable[LegRow], queue: str) -> tuple[LegRow, ...]:
    """Return the legs of one call of this queue in which one agent won and all others lost to him; () if there is none.

    A few losers, margins as different as can be, the least id.
    """
    calls: defaultdict[str, list[LegRow]] = defaultdict(list)
    for row in rows:
        if not row.is_deleted:
            calls[row.call_id].append(row)
    races = [tuple(legs) for legs in calls.values() if is_race(legs, queue)]
    return min(races, key=preference, default=())


def is_race(legs: Iterable[LegRow], queue: str) -> bool:
    offered = [row for row in legs if row.role == "agent"]
    winners = [row for row in offered if row.is_winner and row.result is Result.ANSWERED]
    losers = losing(offered)
    return len(winners) == 1 and len(losers) > 1 and len(losers) + 1 == len(offered) and all(row.queue == queue for row in offered)


def losing(legs: Iterable[LegRow]) -> list[LegRow]:
    """Return those that lost to a winner that is known."""
    return [row for row in legs if row.result is Result.LOSE_RACE and row.lost_by_ms is not None]


def preference(legs: Iterable[LegRow]) -> tuple[bool, int, str]:
    losers = losing(legs)
    margins_ms = [row.lost_by_ms or 0 for row in losers]
    return not FEWEST_LOSERS <= len(losers) <= MOST_LOSERS, min(margins_ms) - max(margins_ms), losers[0].call_id


async def events_of(settings: Settings, leg_ids: frozenset[str]) -> list[LegEvent]:
    """Return these legs' events, as calls.events has them now."""
    async with TopicLog(settings.bootstrap, names(settings).events) as log:
        return [event async for logged in log.records() for event in events_in(logged.value) if event.leg_id in leg_ids]


def events_in(value: bytes | None) -> list[LegEvent]:
    try:
        return [item for item in codec.decode_item(value) if isinstance(item, LegEvent)]
    except BadRecord:
        return []
