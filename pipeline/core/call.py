"""What is kept under one key: the legs of a call, or the way to the key that has them; and what was published of it.

A key is a leg's id or a group's. As long as nothing links it elsewhere it is a call. Once it is linked it passes on what it has
and what still comes, and is a signpost from then on. Every fact about links is a minimum, so all orders end alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from pipeline.core.leg import Leg, leg_of_stored, merge, merge_link, stored_leg
from pipeline.core.model import LegEvent, Verdict
from pipeline.core.race import Race
from pipeline.core.routing import GROUP_RANK, MAX_HOPS, MOST_VIA, Facts, Linked, parent_of
from pipeline.core.stored import CallUnit, LegUnit, Link, StoredCall, StoredPublished


class Published:
    """The last record of one key: its revision and what it said ("" once withdrawn)."""

    __slots__ = ("digest", "final", "revision", "said")

    def __init__(self, revision: int = 0, said: str = "", *, final: bool = False, digest: int = 0) -> None:
        self.revision = revision
        self.said = said
        self.final = final
        self.digest = digest  # of the whole record, once final


class Settling:
    """What the last review found in a call of which every leg has ended. It holds until another fact comes."""

    __slots__ = ("race", "verdicts")

    def __init__(self, race: Race, verdicts: dict[str, Verdict]) -> None:
        self.race = race
        self.verdicts = verdicts


class Call:
    """The state behind one key, with the fields of StoredCall; what it knows besides can be found out again."""

    __slots__ = (*StoredCall.__struct_fields__, "complete_ms", "settling")

    def __init__(self, tenant: str, key: str) -> None:
        self.tenant = tenant
        self.key = key
        self.legs: dict[str, Leg] = {}
        self.link: Link | None = None  # the best link of the key's own leg
        self.group: str | None = None  # the least group that stands above
        self.is_group = False
        self.is_ring = False  # the least id of a ring of links: the root of all in it
        self.is_stuck = False  # facts came here through too many keys, and stay
        self.sent: Link | None = None  # what stood above last: facts of this key's legs are there
        self.gone: dict[str, Link] = {}  # legs that hang elsewhere
        self.mirrored: dict[str, Link] = {}  # links of legs that are not kept here, as their own keys were told
        self.through: dict[str, str] = {}  # keys that pass their facts on to us -> the key above them
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
    def up(self) -> Link | None:
        """Return what stands above this key: its link, unless that leads round in a ring, else a group."""
        if self.link is not None and not self.is_ring:
            return self.link
        return None if self.group is None else (GROUP_RANK, self.group)

    @property
    def is_signpost(self) -> bool:
        """Tell whether facts that come here have to go on."""
        return not self.is_stuck and self.up is not None


def leg_of(call: Call, leg_id: str) -> Leg:
    """Return the leg's facts under this key, made empty if it is new here; a better link that is known already is added."""
    leg = call.legs.get(leg_id)
    if leg is None:
        leg = call.legs[leg_id] = Leg(leg_id)
        link = call.gone.get(leg_id)
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


def add_link(call: Call, linked: Linked) -> list[Linked]:
    """Take note of a link. Return what other keys have to be told now."""
    link = (linked.rank, linked.parent)
    if linked.leg_id == call.key:
        return _add_own_link(call, link, ring=linked.ring)
    if linked.rank >= GROUP_RANK:
        if linked.parent < call.key:
            call.is_group = True
            call.group = min(call.group or linked.parent, linked.parent)
        return []
    call.is_ring = False  # it may be broken now: facts go round once more, and stay if it is not
    call.through.pop(linked.leg_id, None)
    if linked.leg_id in call.legs:
        merge_link(call.legs[linked.leg_id], *link)
    else:
        call.gone[linked.leg_id] = min(call.gone.get(linked.leg_id, link), link)
    if call.is_signpost and call.up is not None and linked.hops < MAX_HOPS:
        return [replace(linked, to=call.up[1], hops=linked.hops + 1)]
    return []


def _add_own_link(call: Call, link: Link, *, ring: bool) -> list[Linked]:
    """Keep the better link, and tell the other one's key where this key's leg really hangs."""
    call.is_ring = call.is_ring or ring
    if link[1] == call.key:
        return []  # nothing hangs under itself
    known = call.link if call.link is not None and not call.is_ring else call.up
    if link[0] >= GROUP_RANK:
        call.group = min(call.group or link[1], link[1])
    elif call.link is None or link < call.link:
        call.link, call.is_ring = link, False
    if known is None or known[1] == link[1]:
        return []
    better, weaker = sorted((known, link))
    return [_told(call, weaker[1], better)]


def _told(call: Call, to: str, link: Link) -> Linked:
    return Linked(tenant=call.tenant, to=to, leg_id=call.key, parent=link[1], rank=link[0], at_ms=call.last_ms)


def add_facts(call: Call, facts: Facts) -> None:
    """Merge a leg's facts that another key passed on."""
    for key, above in zip(facts.via, (*facts.via[1:], call.key), strict=True):
        if key != call.key:
            call.through[key] = above
            call.gone.pop(key, None)
    if call.key in facts.via and call.key == min(facts.via[_last_index(facts.via, call.key) :]):
        call.is_ring = True
    elif len(set(facts.via)) >= MAX_HOPS or len(facts.via) >= MOST_VIA:
        call.is_stuck = True
    published = call.rows.setdefault(facts.leg.leg_id, Published())
    published.revision = max(published.revision, facts.revision)
    merge(leg_of(call, facts.leg.leg_id), leg_of_stored(facts.leg))


def _last_index(via: tuple[str, ...], key: str) -> int:
    return len(via) - 1 - via[::-1].index(key)


def place(call: Call, at_hand: str | None = None, via: tuple[str, ...] = ()) -> tuple[list[Facts | Linked], list[str]]:
    """Send on every leg that does not belong under this key. Return (what to send, the legs that left).

    `via`: the keys that the facts at hand, of the leg `at_hand`, came through. The caller withdraws the rows of the legs that left.
    """
    out: list[Facts | Linked] = _find_above(call)
    left: list[str] = []
    if call.is_signpost and call.up is not None:
        for leg_id in sorted(call.legs):
            out.append(_pass_on(call, leg_id, call.up[1], via if leg_id == at_hand else None))
            left.append(leg_id)
        call.legs.clear()
    elif not call.is_stuck:
        while (lost := next(_strays(call), None)) is not None:
            leg_id, to = lost
            out.append(_pass_on(call, leg_id, to, via if leg_id == at_hand else None))
            left.append(leg_id)
            leg = call.legs.pop(leg_id)
            if leg.parent is not None:
                call.gone[leg_id] = (leg.rank, leg.parent)
        out += _told_rings(call)
    return out, left


def _told_rings(call: Call) -> list[Linked]:
    """A ring of links under a group: its least leg stands for all in it, and may not know of the group. Tell it, once."""
    out = []
    for root in sorted(_ring_roots(call)) if call.is_group else ():
        if root not in call.mirrored:
            call.mirrored[root] = (GROUP_RANK, call.key)
            out.append(Linked(tenant=call.tenant, to=root, leg_id=root, parent=call.key, rank=GROUP_RANK, at_ms=call.last_ms, ring=True))
    return out


def _ring_roots(call: Call) -> set[str]:
    """Return the least id of each ring of links that some leg here hangs in."""
    roots = set()
    for leg_id in call.legs:
        path: list[str] = []
        at: str | None = leg_id
        while at is not None and at not in path:
            path.append(at)
            at = _above(call, at)
        if at is not None:
            roots.add(min(path[path.index(at) :]))
    return roots


def _above(call: Call, key: str) -> str | None:
    """Return what stands above a leg or key as far as this key knows, or None."""
    leg = call.legs.get(key)
    if leg is not None and leg.parent is not None:
        return leg.parent
    if key in call.through:
        return call.through[key]
    return call.gone[key][1] if leg is None and key in call.gone else None


def _find_above(call: Call) -> list[Facts | Linked]:
    """Learn from the legs at hand what stands above this key. Return what the keys concerned have to be told."""
    own = call.legs.get(call.key)
    own_link = own.link() if own is not None else None
    if own_link is not None and (call.link is None or own_link < call.link):
        call.link, call.is_ring = own_link, False
    groups = {leg.group_id for leg in call.legs.values() if leg.group_id is not None}
    call.is_group = call.is_group or call.key in groups
    if groups:
        least = min(groups)
        if not call.is_group or least < call.key:
            call.group = min(call.group or least, least)
    out: list[Facts | Linked] = []
    up, sent = call.up, call.sent
    if up is not None and up != sent:
        if sent is not None and sent[1] != up[1] and (up[0] < GROUP_RANK or sent[0] >= GROUP_RANK):
            out.append(_told(call, sent[1], up))
        call.sent = up
    top = call.group or (call.key if call.is_group else None)
    if top is not None:
        out += [_told(call, group, (GROUP_RANK, top)) for group in sorted(groups - {top, call.key})]
    return out


def _strays(call: Call) -> Iterator[tuple[str, str]]:
    for leg_id in sorted(call.legs):
        stop = _stop(call, leg_id)
        if stop is not None:
            yield leg_id, stop


def _stop(call: Call, leg_id: str) -> str | None:
    """Follow the links of a leg. Return the foreign key at which they end, or None if they lead to this key."""
    seen: set[str] = set()
    at = leg_id
    while at != call.key and at not in seen:
        seen.add(at)
        above = _above(call, at)
        if above is None:
            return None if at in call.legs else at
        at = above
    return None


def _pass_on(call: Call, leg_id: str, to: str, via: tuple[str, ...] | None) -> Facts:
    came = _path(call, leg_id) if via is None else via
    if via is None and to in came:
        came = came[: came.index(to)]  # they could have come through it, but did not: it must not take itself for a ring
    revision = call.rows[leg_id].revision if leg_id in call.rows else 0
    return Facts(tenant=call.tenant, to=to, leg=stored_leg(call.legs[leg_id]), via=(*came, call.key), revision=revision)


def _path(call: Call, leg_id: str) -> tuple[str, ...]:
    """Return the keys above a leg, up to but without this key: its facts reached us through them, or could have."""
    path: list[str] = []
    at = call.legs[leg_id].parent if leg_id != call.key else None
    while at is not None and at != call.key and at not in path:
        path.append(at)
        leg = call.legs.get(at)
        at = leg.parent if leg is not None and leg.parent is not None else call.through.get(at)
    return tuple(path)


# Calls and bytes.


def stored_call(call: Call) -> StoredCall:
    """Return the call as it is stored. It shares its maps: encode it before the call changes."""
    return StoredCall(
        call.tenant, call.key, {leg_id: stored_leg(leg) for leg_id, leg in call.legs.items()}, call.link, call.group, call.is_group,
        call.is_ring, call.is_stuck, call.sent, call.gone, call.mirrored, call.through, call.last_ms,
        {leg_id: _stored_row(row) for leg_id, row in call.rows.items()}, None if call.row is None else _stored_row(call.row),
        call.leg_units, call.call_units, call.due_ms, call.is_dirty,
    )  # fmt: skip


def _stored_row(row: Published) -> StoredPublished:
    return StoredPublished(row.revision, row.said, row.final, row.digest)


def call_of_stored(stored: StoredCall) -> Call:
    """Return the call that `stored_call` was given."""
    call = Call(stored.tenant, stored.key)
    call.legs = {leg_id: leg_of_stored(leg) for leg_id, leg in stored.legs.items()}
    call.link, call.group, call.sent = stored.link, stored.group, stored.sent
    call.is_group, call.is_ring, call.is_stuck, call.is_dirty = stored.is_group, stored.is_ring, stored.is_stuck, stored.is_dirty
    call.gone, call.mirrored, call.through = stored.gone, stored.mirrored, stored.through
    call.last_ms, call.due_ms, call.leg_units, call.call_units = stored.last_ms, stored.due_ms, stored.leg_units, stored.call_units
    call.rows = {leg_id: _published(row) for leg_id, row in stored.rows.items()}
    call.row = None if stored.row is None else _published(stored.row)
    return call


def _published(row: StoredPublished) -> Published:
    return Published(row.revision, row.said, final=row.final, digest=row.digest)
