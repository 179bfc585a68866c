"""What is kept under one key: the legs of a call, or the way to the key that has them; and what was published of it.

A key is a leg's id or a group's. As long as nothing stands above it, it is a call; else it is a signpost, and passes on what it has
and what still comes.
"""

from __future__ import annotations

from typing import Final

from pipeline.core.leg import Leg, leg_of_stored, merge_link, stored_leg
from pipeline.core.model import LegEvent, Verdict
from pipeline.core.race import Race
from pipeline.core.routing import GROUP_RANK, Linked, parent_of
from pipeline.core.stored import CallUnit, LegUnit, Link, StoredCall, StoredPublished, StoredTies, Told


class Published:
    """The last record of one key: its revision and what it said ("" once withdrawn)."""

    __slots__ = ("digest", "final", "revision", "said")

    def __init__(self, revision: int = 0, said: str = "", *, final: bool = False, digest: int = 0) -> None:
        self.revision = revision
        self.said = said
        self.final = final
        self.digest = digest  # of the whole record, once final


class Ties:
    """What a key knows of links and groups beside its own link."""

    __slots__ = ("asked", "groups", "handed", "joined", "links", "told")

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}  # best links of legs that are not here, as far as the way of others leads through them
        self.groups: dict[str, str] = {}  # legs that are or were here -> the least group that names them
        self.handed: dict[str, str] = {}  # roots and groups -> the group that has their legs; themselves, once they took them back
        self.joined: dict[str, str] = {}  # who has legs under this group and under a lesser one -> the least of those
        self.told: dict[str, Told | None] = {}  # keys that may take our legs for theirs -> what they were told last
        self.asked: set[str] = set()  # legs to be sent through their root's key; empty between steps


NO_TIES: Final = Ties()
"""Of most calls. Who adds something takes `ties_of`."""


class Settling:
    """What the last review found in a call of which every leg has ended. It holds until another fact comes."""

    __slots__ = ("race", "verdicts")

    def __init__(self, race: Race, verdicts: dict[str, Verdict]) -> None:
        self.race = race
        self.verdicts = verdicts


class Call:
    """The state behind one key, with the fields of StoredCall; what it knows besides can be found out again.

    Its own leg is a root if it has no link, or is the least of a ring of links.
    """

    __slots__ = (*StoredCall.__struct_fields__, "complete_ms", "settling")

    def __init__(self, tenant: str, key: str) -> None:
        self.tenant = tenant
        self.key = key
        self.legs: dict[str, Leg] = {}
        self.link: Link | None = None  # the best link of the key's own leg
        self.up: Link | None = None  # what stands above: for a root the least group, else that link
        self.is_group = False
        self.is_stuck = False  # facts came here through too many keys, and stay
        self.ties: Ties = NO_TIES
        self.mirrored: dict[str, Link] = {}  # links of legs that are not kept here, as their own keys were told
        self.last_ms = 0
        self.rows: dict[str, Published] = {}
        self.row: Published | None = None
        self.leg_units: dict[str, LegUnit] = {}
        self.call_units: dict[str, CallUnit] = {}
        self.due_ms: int | None = None  # when stream time has to look at this call again
        self.is_dirty = False  # facts came in since the last review
        self.complete_ms: int | None = None  # as the last review found it, until another fact comes
        self.settling: Settling | None = None

    @property
    def is_signpost(self) -> bool:
        """Tell whether facts that come here have to go on."""
        return self.up is not None and not self.is_stuck

    @property
    def through(self) -> dict[str, str]:
        """Return what stands above legs that are not here, as far as their links are known."""
        return {leg_id: above for leg_id, (_, above) in self.ties.links.items()}


def ties_of(call: Call) -> Ties:
    """Return the call's ties to add something to."""
    if call.ties is NO_TIES:
        call.ties = Ties()
    return call.ties


def leg_of(call: Call, leg_id: str) -> Leg:
    """Return the leg's facts under this key, made empty if it is new here; a better link that is known already is added."""
    leg = call.legs.get(leg_id)
    if leg is None:
        leg = call.legs[leg_id] = Leg(leg_id)
        link = call.ties.links.get(leg_id)
        if link is not None:
            merge_link(leg, *link)
    return leg


def mirror_of(call: Call, leg: Leg, event: LegEvent, before: Link | None) -> Linked | None:
    """Return what the leg's own key has to be told of the link in this event, once for each link. `before`: the leg's link so far."""
    parent = parent_of(event)
    above, rank = (parent, event.link_rank) if parent is not None else (event.group_id, GROUP_RANK)
    if above is None or above == leg.leg_id:
        return None
    link = (rank, above)
    if leg.link() == link and not call.is_signpost:
        is_news = before != link
    else:
        known = call.mirrored.get(leg.leg_id)
        is_news = known is None or link < known
        call.mirrored[leg.leg_id] = min(known or link, link)
    if not is_news:
        return None
    return Linked(tenant=call.tenant, to=leg.leg_id, leg_id=leg.leg_id, parent=above, rank=rank, at_ms=event.at_ms)


# Calls and bytes.


def stored_call(call: Call) -> StoredCall:
    """Return the call as it is stored. It shares its maps: encode it before the call changes."""
    return StoredCall(
        call.tenant, call.key, {leg_id: stored_leg(leg) for leg_id, leg in call.legs.items()}, call.link, call.up, call.is_group,
        call.is_stuck, _stored_ties(call.ties), call.mirrored, call.last_ms,
        {leg_id: _stored_row(row) for leg_id, row in call.rows.items()}, None if call.row is None else _stored_row(call.row),
        call.leg_units, call.call_units, call.due_ms, call.is_dirty,
    )  # fmt: skip


def _stored_ties(ties: Ties) -> StoredTies | None:
    if ties is NO_TIES:
        return None
    return StoredTies(ties.links, ties.groups, ties.handed, ties.joined, ties.told)


def _stored_row(row: Published) -> StoredPublished:
    return StoredPublished(row.revision, row.said, row.final, row.digest)


def call_of_stored(stored: StoredCall) -> Call:
    """Return the call that `stored_call` was given."""
    call = Call(stored.tenant, stored.key)
    call.legs = {leg_id: leg_of_stored(leg) for leg_id, leg in stored.legs.items()}
    call.link, call.up, call.mirrored = stored.link, stored.up, stored.mirrored
    call.is_group, call.is_stuck, call.is_dirty = stored.is_group, stored.is_stuck, stored.is_dirty
    if stored.ties is not None:
        call.ties = _ties(stored.ties)
    call.last_ms, call.due_ms, call.leg_units, call.call_units = stored.last_ms, stored.due_ms, stored.leg_units, stored.call_units
    call.rows = {leg_id: _published(row) for leg_id, row in stored.rows.items()}
    call.row = None if stored.row is None else _published(stored.row)
    return call


def _ties(stored: StoredTies) -> Ties:
    ties = Ties()
    ties.links, ties.groups, ties.handed, ties.joined, ties.told = stored.links, stored.groups, stored.handed, stored.joined, stored.told
    return ties


def _published(row: StoredPublished) -> Published:
    return Published(row.revision, row.said, final=row.final, digest=row.digest)
