"""Facts, calls and counts as bytes hold them: in the changelog, and where one key or stage passes them on to another.

Arrays, so that their order is the layout. What works on them are the classes of leg.py and call.py, which have the same fields.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.core.model import (
    CONTEXTS,
    LATEST_MS,
    MAX_ID_LENGTH,
    ROLES,
    AtMs,
    Attribution,
    ChangeReason,
    Direction,
    DurationMs,
    EndedBy,
    Id,
    QueueExit,
    SipStatus,
    Word,
)  # fmt: skip

Tenant = Annotated[str, Meta(max_length=MAX_ID_LENGTH)]
NO_LINK_RANK = 1_000
Rank = Annotated[int, Meta(ge=0, le=NO_LINK_RANK)]
Times = Annotated[list[AtMs], Meta(min_length=1, max_length=64)]


class StoredEnd(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a leg ended, by the best-informed witness."""

    authority: Annotated[int, Meta(ge=0, le=9)]
    at_ms: AtMs
    cause: Word
    ended_by: EndedBy | None
    sip_status: SipStatus | None


class Visit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One stay of a caller in one queue."""

    queue: Word | None = None
    joined_ms: AtMs | None = None
    left_ms: AtMs | None = None
    exit: QueueExit | None = None


class StoredLeg(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The facts of one leg."""

    leg_id: Id
    parent: Id | None = None
    rank: Rank = NO_LINK_RANK
    group_id: Id | None = None
    direction: Direction | None = None
    role: Annotated[int, Meta(ge=0, le=len(ROLES))] = len(ROLES)  # index into ROLES: the least is the strongest evidence
    context: Annotated[int, Meta(ge=0, le=len(CONTEXTS))] = len(CONTEXTS)  # likewise
    queue: Word | None = None
    agent: Word | None = None
    dialed: Word | None = None
    source: Word | None = None
    is_real: bool = False
    offered_ms: AtMs | None = None
    rang_ms: AtMs | None = None
    answered_ms: AtMs | None = None
    end: StoredEnd | None = None
    ring_limit_ms: DurationMs | None = None
    last_ms: AtMs = 0
    tells_core: bool = False
    bridges: dict[str, Times] = {}
    unbridges: dict[str, Times] = {}
    holds: list[AtMs] = []
    unholds: list[AtMs] = []
    visits: dict[str, Visit] = {}
    exit_hint: QueueExit | None = None
    flags: frozenset[str] = frozenset()
    silences: frozenset[str] = frozenset()


class StoredPublished(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last record of one key: its revision and what it said."""

    revision: int = 0
    said: str = ""
    final: bool = False
    digest: int = 0


class LegUnit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One offered leg. What follows `race_legs` is known once it has a result."""

    queue: str
    agent: str | None
    offered_ms: int
    closed: bool
    race_ms: int | None = None  # when it won its race, if it did
    race_legs: int = 0  # of which this many legs were open then
    word: str | None = None  # the result
    reason: str = ""
    rule: str | None = None
    over_ms: int = 0
    ended_ms: int = 0
    ring_ms: int | None = None
    talk_ms: int = 0
    rang: bool | None = None  # None: nobody can tell
    margin_ms: int = 0


class CallUnit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One visit of a queue, or a call without. What follows `closed` is known once it has an outcome."""

    queue: str
    offered_ms: int
    closed: bool
    outcome: str | None = None
    reason: str = ""
    rule: str | None = None
    over_ms: int = 0
    wait_ms: int | None = None
    short: bool = False


Sum = dict[str, int]
"""Counts by name: the columns of the rows, and what tally.py says stands beside them."""


class Total(msgspec.Struct, array_like=True, gc=False):
    """One window: its counts, in how many steps they came, the revision of its last row, and for which reasons it changed late."""

    end_ms: int
    steps: int = 0
    counts: Sum = {}
    said: int = 0
    late: int = 0  # bits: places of reasons in model.REASONS


Kind = Literal["queue", "agent"]
Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]
PartitionNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Cause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change after a base window's time: what changed it, why, and by how much."""

    reason: ChangeReason
    call_id: Id
    leg_id: Id | None
    rule: str | None
    at_ms: AtMs
    counts: Sum


class Partial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="partial", tag_field="control", gc=False):
    """By how much one base window changed in one chunk of one partition of calls.events. `counts`: see tally.Sum."""

    tenant: Tenant
    kind: Kind
    name: Word
    attribution: Attribution
    start_ms: AtMs
    steps: Annotated[int, Meta(ge=1, le=2**53)]
    counts: dict[str, Count]
    causes: list[Cause] = []


class Reached(msgspec.Struct, frozen=True, kw_only=True, tag="reached", tag_field="control", gc=False):
    """The stream time of one partition of calls.events."""

    partition: PartitionNumber
    at_ms: Annotated[int, Meta(ge=-1, le=LATEST_MS)]


Link = tuple[int, str]
"""(rank, what stands above)"""


Says = Literal["hangs", "joins", "left"]
Told = tuple[Says, int, str]
"""What a key said of itself to another: (how it stands to it, rank, what stands above)."""


class StoredTies(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a key knows of links and groups beside its own link."""

    links: dict[str, Link] = {}
    groups: dict[str, str] = {}
    handed: dict[str, str] = {}
    joined: dict[str, str] = {}
    told: dict[str, Told | None] = {}


class StoredCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state behind one key."""

    tenant: str
    key: str
    legs: dict[str, StoredLeg]
    link: Link | None
    up: Link | None
    is_group: bool
    is_stuck: bool
    ties: StoredTies | None
    mirrored: dict[str, Link]
    last_ms: int
    rows: dict[str, StoredPublished]
    row: StoredPublished | None
    leg_units: dict[str, LegUnit]
    call_units: dict[str, CallUnit]
    due_ms: int | None
    is_dirty: bool


class Closed(msgspec.Struct, array_like=True, gc=False):
    """What stays of a key after its facts are dropped: the way up, if it was a signpost."""

    tenant: str
    key: str
    until_ms: int
    up: str | None = None
