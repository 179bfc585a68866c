"""In which order, when and where the records of the contacts reach Kafka: twice, late, scattered, an hour ahead, or not for a while.

Four raw topics: `east` and `west` are switches of one tenant, `north` is another tenant's, `idle` is a switch that never says anything.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec

from pipeline.core.model import LegEvent
from tests.chaos.contacts import CALLS_PER_S, Contact, contacts

SOURCES: tuple[dict[str, Any], ...] = (
    {"vendor": "canonical", "name": "east"},
    {"vendor": "canonical", "name": "west"},
    {"vendor": "canonical", "name": "north", "tenant": "acme"},
    {"vendor": "canonical", "name": "idle"},
)
OF_TENANT = {"": ("east", "west"), "acme": ("north",)}
AHEAD = ("east", 0)
AHEAD_MS = 3_600_000
SILENT = ("west", 1)
"""Says nothing in the middle third of the run."""
MOST_LATE_MS = 600_000
TWICE, LATE, SCATTERED = 0.15, 0.10, 0.20
"""The shares of contacts of which every record comes twice, of which a third of the records comes late, whose records go anywhere."""

_encode = msgspec.json.Encoder().encode


class Arrival(NamedTuple):
    """One record for a raw topic, by the name of its source. `at_ms`: when it is sent; `event_ms`: when what it tells happened."""

    at_ms: int
    event_ms: int
    source: str
    partition: int
    key: bytes
    value: bytes


def arrivals(seed: int, events: int, partitions: int) -> Iterator[Arrival]:
    """Every record, in the order in which the records are sent."""
    waiting: list[tuple[int, int, Arrival]] = []
    span_ms = _span_ms(events)
    count = 0
    for contact in contacts(seed, events):
        begin_ms = contact.all_events[0].at_ms
        while waiting and waiting[0][0] < begin_ms - AHEAD_MS - 60_000:  # nothing that comes can be earlier
            yield heapq.heappop(waiting)[2]
        for arrival in _arrivals_of(contact, Random(f"{seed}/way/{contact.number}"), partitions, span_ms):
            heapq.heappush(waiting, (arrival.at_ms, count, arrival))
            count += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def _span_ms(events: int) -> int:
    """About how much event time a run takes: a contact tells 18 events on average."""
    return events // 18 * 1000 // CALLS_PER_S


def _arrivals_of(contact: Contact, dice: Random, partitions: int, span_ms: int) -> Iterator[Arrival]:
    home = dice.choice(OF_TENANT[contact.tenant]), dice.randrange(partitions)
    scattered, late, twice = (dice.random() < share for share in (SCATTERED, LATE, TWICE))
    is_middle = span_ms // 3 < contact.number * 1000 // CALLS_PER_S < 2 * span_ms // 3
    for event in contact.all_events:
        is_late = event in contact.links or (late and dice.random() < 0.33)
        for _ in range(2 if twice else 1):
            source, partition = (dice.choice(OF_TENANT[contact.tenant]), dice.randrange(partitions)) if scattered else home
            if is_middle and (source, partition) == SILENT:
                source = AHEAD[0]
            yield _arrival(event, source, partition, dice.randrange(MOST_LATE_MS) if is_late else 0)


def _arrival(event: LegEvent, source: str, partition: int, late_ms: int) -> Arrival:
    ahead_ms = AHEAD_MS if (source, partition) == AHEAD else 0
    bare = msgspec.structs.replace(event, tenant="")  # the tenant is the source's to say
    return Arrival(event.at_ms + late_ms - ahead_ms, event.at_ms, source, partition, event.leg_id.encode(), _encode(bare))
