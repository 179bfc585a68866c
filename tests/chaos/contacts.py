"""The calls of a chaos run: what every switch would tell of them, and of the ring-alls also what must come of each leg.

A contact is one call, or several that are tied to each other. Everything about it follows from the run's seed and its number, so that
the feed can play it, and the audit can judge it, one at a time. Half are ring-alls whose results were planned (pipeline.workbench.ringall),
half are the strategies' plots: transfers, pick-ups, loopbacks, dialers, groups, chains and rings of links, records that are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from pipeline.core.model import LegEvent, Result
from pipeline.errors import BadRecord
from pipeline.vendors import canonical
from pipeline.workbench.ringall import Load, call
from tests.chaos.dice import DiceScript
from tests.support.strategies import BASE_MS, PLOTS

CALLS_PER_S = 5
LOAD = Load(calls=0, begin_ms=0)
IDS = ("leg_id", "parent_leg_id", "peer_leg_id", "group_id", "visit_id")
NAME = re.compile(r"c\d+(?=/)")
LOST_ONE_IN = 6
"""So many plots lack some of their records."""
LINK_LATE_ONE_IN = 8
"""So many ring-alls do not say at first who called the agents."""


class Contact(NamedTuple):
    """`events` in the order of time, each once. `links`: events that tell a link and nothing else, told minutes late. `results`: leg -> plan."""

    number: int
    tenant: str
    events: list[LegEvent]
    links: list[LegEvent]
    results: Mapping[str, Result]

    @property
    def all_events(self) -> list[LegEvent]:
        return self.events + self.links


def name_of(an_id: str) -> str | None:
    """The name of the contact that a leg, group or call belongs to; None for ids that no contact gave."""
    found = NAME.match(an_id)
    return found[0] if found else None


def contacts(seed: int, events: int) -> Iterator[Contact]:
    """Contacts until they tell so many events."""
    told, number = 0, 0
    while told < events:
        contact = contact_of(seed, number)
        told += len(contact.events) + len(contact.links)
        number += 1
        yield contact


def contact_of(seed: int, number: int) -> Contact:
    dice = Random(f"{seed}/{number}")
    at_ms = BASE_MS + number * 1000 // CALLS_PER_S
    tenant = dice.choice(("", "", "acme"))
    if dice.random() < 0.5:
        return _ring_all(seed, number, tenant, at_ms, dice)
    return Contact(number, tenant, [_moved(event, number, tenant, at_ms - BASE_MS) for event in _plot(dice)], [], {})


def _ring_all(seed: int, number: int, tenant: str, at_ms: int, dice: Random) -> Contact:
    planned = call(LOAD._replace(seed=seed), number, at_ms)
    events = [_moved(event, number, tenant, 0) for event in planned.events]
    results = {_named(leg_id, number): result for leg_id, result in planned.results.items()}
    if dice.randrange(LINK_LATE_ONE_IN):
        return Contact(number, tenant, events, [], results)
    without = [replace(event, parent_leg_id=None) for event in events]
    links = {
        event.leg_id: LegEvent(leg_id=event.leg_id, kind="noted", at_ms=event.at_ms, tenant=tenant, parent_leg_id=event.parent_leg_id)
        for event in reversed(events)
        if event.parent_leg_id is not None
    }
    return Contact(number, tenant, without, list(links.values()), results)


def _plot(dice: Random) -> list[LegEvent]:
    while True:
        script = DiceScript(dice)
        dice.choice(PLOTS)(script)
        kept = [event for event in script.events if _is_readable(event)]
        if dice.randrange(LOST_ONE_IN) == 0:
            kept = dice.sample(kept, max(0, len(kept) - dice.randint(1, 3)))
        if kept and not _is_ring_of_two_groups(kept):
            return sorted(kept, key=lambda event: event.at_ms)


def _is_readable(event: LegEvent) -> bool:
    """A plot may tell what a producer must not, such as a leg that names itself as its cause."""
    try:
        canonical.parse(msgspec.json.encode(event))
    except BadRecord:
        return False
    return True


def _is_ring_of_two_groups(events: list[LegEvent]) -> bool:
    """No switch tells this, and for some orders of telling it the verdict is not the same yet: which group wins depends on who hears first."""
    links = {event.leg_id: event.parent_leg_id for event in events if event.parent_leg_id is not None}
    groups = {event.group_id for event in events if event.group_id is not None}
    return len(groups) > 1 and any(_leads_round(leg_id, links) for leg_id in links)


def _leads_round(leg_id: str, links: Mapping[str, str]) -> bool:
    seen = {leg_id}
    while (above := links.get(leg_id)) is not None and above not in seen:
        seen.add(above)
        leg_id = above
    return above is not None


def _moved(event: LegEvent, number: int, tenant: str, by_ms: int) -> LegEvent:
    ids = {name: _named(value, number) for name in IDS if (value := getattr(event, name))}
    return replace(event, at_ms=event.at_ms + by_ms, tenant=tenant, **ids)


def _named(an_id: str, number: int) -> str:
    return f"c{number:07}/{an_id}"
