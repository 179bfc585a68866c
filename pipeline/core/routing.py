"""Which key an event belongs to, and what keys tell each other (verdicts, "How a leg gets its call").

An event goes to the leg or group that it names as its cause, else to its own leg. Whoever holds facts under a key that turns
out to be linked passes them on, hop by hop. Facts may arrive twice or by several ways: merging them again is harmless.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pipeline.core.model import LATEST_MS, MAX_ID_LENGTH, AtMs, Id, LegEvent
from pipeline.core.stored import Rank, Says, StoredLeg, Tenant

GROUP_RANK = 1_000
"""A group stands above its roots like a parent, behind every real link."""
MAX_HOPS = 8
"""After so many keys facts stay where they are, and their verdicts need review."""
MOST_VIA = 4 * MAX_HOPS
"""Keys that facts go through, repetitions counted: a ring is found on the second round, and nothing goes round for ever."""
EVERY_ORIGIN = "*"
DIRECT = ""
"""The origin of events that a producer wrote to calls.events itself."""


Revision = Annotated[int, Meta(ge=0, le=2**53)]


class Linked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="linked", tag_field="control", gc=False):
    """Tells the key `to` how another leg or group stands to it.

    hangs: it hangs under a leg, or a group is named with it. joins: it has legs under the group `to` and under the lesser group
    `parent`, so that both are one call; no lesser one if that is `to`. left: it has no leg under the group `parent` any more.
    """

    tenant: Tenant
    to: Id
    leg_id: Id
    parent: Id
    rank: Rank
    at_ms: AtMs
    hops: Annotated[int, Meta(ge=0, le=MAX_HOPS)] = 0
    says: Says = "hangs"


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="facts", tag_field="control", gc=False):
    """Hands one leg's folded facts to the key `to`.

    `via`: the keys they went through; `links`: what stands above whom on the leg's way to `to`; `revision`: the last of its row.
    """

    tenant: Tenant
    to: Id
    leg: StoredLeg
    via: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=MOST_VIA + 1)]
    links: dict[Id, tuple[Rank, Id]] = {}
    revision: Revision = 0


class CoreSeen(msgspec.Struct, frozen=True, kw_only=True, tag="core", tag_field="control", gc=False):
    """Tells a partition since when a run of a switch is known: legs of its earlier runs that were silent since then have ended."""

    tenant: Tenant
    source: Id
    core_id: Id
    at_ms: AtMs


class Watermark(msgspec.Struct, frozen=True, kw_only=True, tag="watermark", tag_field="control", gc=False):
    """No earlier event is expected from this origin (a raw topic's partition). -1: do not wait for it, it has told no time yet."""

    origin: Annotated[str, Meta(max_length=MAX_ID_LENGTH)]
    at_ms: Annotated[int, Meta(ge=-1, le=LATEST_MS)]


class Review(msgspec.Struct, frozen=True, gc=False, tag="review", tag_field="control"):
    """Follows the facts that one chunk passed on to a partition: judge what they changed."""


Control = Linked | Facts | CoreSeen | Watermark | Review
Item = LegEvent | Control


def parent_of(event: LegEvent) -> str | None:
    """Return the leg that the event names as its cause; a leg that names itself names none."""
    return None if event.parent_leg_id == event.leg_id else event.parent_leg_id


def home_of(event: LegEvent) -> str:
    """Return the key that an event goes to, without its tenant."""
    return parent_of(event) or event.group_id or event.leg_id


def state_key(tenant: str, key: str) -> str:
    """Return the key of a record of calls.events, and of the state behind it."""
    return f"{tenant}|{key}"
