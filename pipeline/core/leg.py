"""The facts of one leg: a fold of its events that ignores order and repetition (verdicts, section 1).

Every fact is a minimum, a maximum or a union, ties by name, so events may come in any order, twice, or by way of another call.
"""

from __future__ import annotations

from bisect import insort
from typing import Final, TypeVar

from msgspec.structs import astuple

from pipeline.core.model import CONTEXTS, ROLES, Context, Direction, EndedBy, LegEvent, QueueExit, Role
from pipeline.core.stored import NO_LINK_RANK, StoredEnd, StoredLeg, Visit

T = TypeVar("T")

MOST_TIMES: Final = 64
"""How many bridges and how many holds a leg remembers: the earliest; and how many visits: those of the least ids."""
_ENDED_BY_ORDER: Final[dict[str | None, int]] = {"far_hung_up": 0, "far_refused": 1, "platform": 2, None: 3}
_VISITS: Final = frozenset({"queue_joined", "queue_left"})  # their queue is the visit's, not the leg's
_PLAIN: Final = frozenset({"offered", "noted"})  # which tell nothing but their time
_FRAGMENTS: Final = frozenset({"bridged", "unbridged", "noted"})
_NO_PEERS: Final[dict[str, list[int]]] = {}  # what legs share that have none: never written to
_NO_TIMES: Final[list[int]] = []
_NO_VISITS: Final[dict[str, Visit]] = {}
_NONE: Final[frozenset[str]] = frozenset()


class End:
    """How a leg ended, by the best-informed witness. It does not change."""

    __slots__ = ("at_ms", "authority", "cause", "ended_by", "sip_status")

    def __init__(self, authority: int, at_ms: int, cause: str, ended_by: EndedBy | None, sip_status: int | None) -> None:
        self.authority = authority
        self.at_ms = at_ms
        self.cause = cause
        self.ended_by = ended_by
        self.sip_status = sip_status

    def order(self) -> tuple[int, int, str, int, int]:
        """Return the key by which of two ends the least counts; what is unknown comes last."""
        return (self.authority, self.at_ms, self.cause, _ENDED_BY_ORDER[self.ended_by], self.sip_status or 1_000)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, End) and self.order() == other.order()

    def __hash__(self) -> int:
        return hash(self.order())


class Leg:
    """The facts, with the fields of StoredLeg. Mutable: only `fold`, `merge` and `merge_link` write to it."""

    __slots__ = (*StoredLeg.__struct_fields__,)

    def __init__(self, leg_id: str) -> None:
        self.leg_id = leg_id
        self.parent: str | None = None
        self.rank = NO_LINK_RANK
        self.group_id: str | None = None
        self.direction: Direction | None = None
        self.role = len(ROLES)  # index into ROLES: the least is the strongest evidence
        self.context = len(CONTEXTS)  # likewise
        self.queue: str | None = None
        self.agent: str | None = None
        self.dialed: str | None = None
        self.source: str | None = None
        self.is_real = False
        self.offered_ms: int | None = None
        self.rang_ms: int | None = None
        self.answered_ms: int | None = None
        self.end: End | None = None
        self.ring_limit_ms: int | None = None
        self.last_ms = 0
        self.tells_core = False  # its switch tells its runs (core_id)
        self.bridges = _NO_PEERS
        self.unbridges = _NO_PEERS
        self.holds = _NO_TIMES
        self.unholds = _NO_TIMES
        self.visits = _NO_VISITS
        self.exit_hint: QueueExit | None = None  # how the caller left, from a witness that names no visit
        self.flags = _NONE
        self.silences = _NONE

    @property
    def ended_ms(self) -> int | None:
        """Return when the leg ended, or None."""
        return None if self.end is None else self.end.at_ms

    def role_hint(self) -> Role | None:
        """Return what a source said of the leg's role."""
        return ROLES[self.role] if self.role < len(ROLES) else None

    def context_hint(self) -> Context | None:
        """Return what a source said of the call's context."""
        return CONTEXTS[self.context] if self.context < len(CONTEXTS) else None

    def link(self) -> tuple[int, str] | None:
        """Return the best link as (rank, parent), or None."""
        return None if self.parent is None else (self.rank, self.parent)


_ROLE_INDEX: Final[dict[str, int]] = {role: index for index, role in enumerate(ROLES)}
_CONTEXT_INDEX: Final[dict[str, int]] = {context: index for index, context in enumerate(CONTEXTS)}


def fold(leg: Leg, event: LegEvent) -> bool:
    """Add one event's facts to its leg. Return whether anything but `last_ms` changed."""
    at_ms, kind = event.at_ms, event.kind
    changed = False
    leg.last_ms = max(leg.last_ms, at_ms)
    if kind != "noted" and (leg.offered_ms is None or at_ms < leg.offered_ms):
        leg.offered_ms, changed = at_ms, True
    if not leg.is_real and kind not in _FRAGMENTS:
        leg.is_real = changed = True
    if kind == "ended":
        end = End(event.authority, at_ms, event.cause or "NONE", event.ended_by, event.sip_status)
        if leg.end is None or end.order() < leg.end.order():
            leg.end, changed = end, True
    elif kind == "ringing":
        if leg.rang_ms is None or at_ms < leg.rang_ms:
            leg.rang_ms, changed = at_ms, True
    elif kind == "answered":
        if leg.answered_ms is None or at_ms < leg.answered_ms:
            leg.answered_ms, changed = at_ms, True
    elif kind not in _PLAIN:
        changed |= _fold_times(leg, event)
    return _fold_hints(leg, event) or changed


def _fold_times(leg: Leg, event: LegEvent) -> bool:
    kind, at_ms = event.kind, event.at_ms
    if kind == "bridged":
        return _add_bridge(leg, event.peer_leg_id or "", at_ms)
    if kind == "unbridged":
        return _add_unbridge(leg, event.peer_leg_id or "", at_ms)
    if kind == "held":
        return _add_hold(leg, at_ms)
    if kind == "unheld":
        return _add_unhold(leg, at_ms)
    return _fold_visit(leg, event)


def _fold_visit(leg: Leg, event: LegEvent) -> bool:
    joined_ms = event.joined_ms
    if joined_ms is None and event.kind == "queue_joined":
        joined_ms = event.at_ms
    left_ms = event.at_ms if event.kind == "queue_left" else None
    visit_id = event.visit_id or f"{event.queue or ''}@{'' if joined_ms is None else joined_ms}"
    return _merge_visit(leg, visit_id, Visit(event.queue, joined_ms, left_ms, event.queue_exit))


def _fold_hints(leg: Leg, event: LegEvent) -> bool:
    """Of what an event may say at any time the least, or the strongest, that was told counts."""
    changed = event.parent_leg_id is not None and merge_link(leg, event.link_rank, event.parent_leg_id)
    group_id, direction, agent, source = event.group_id, event.direction, event.agent, event.source
    if group_id is not None and (leg.group_id is None or group_id < leg.group_id):
        leg.group_id, changed = group_id, True
    if direction is not None and (leg.direction is None or direction < leg.direction):
        leg.direction, changed = direction, True
    if agent is not None and (leg.agent is None or agent < leg.agent):
        leg.agent, changed = agent, True
    if source and (leg.source is None or source < leg.source):
        leg.source, changed = source, True
    if event.core_id is not None and not leg.tells_core:
        leg.tells_core = changed = True
    role, context = event.role, event.context
    if role is not None and _ROLE_INDEX[role] < leg.role:
        leg.role, changed = _ROLE_INDEX[role], True
    if context is not None and _CONTEXT_INDEX[context] < leg.context:
        leg.context, changed = _CONTEXT_INDEX[context], True
    if _fold_seldom_told(leg, event):
        changed = True
    return _fold_told_once(leg, event) or changed


def _fold_seldom_told(leg: Leg, event: LegEvent) -> bool:
    changed = False
    dialed, ring_limit_ms, flags, silences = event.dialed, event.ring_limit_ms, event.flags, event.cannot_report
    if dialed is not None and (leg.dialed is None or dialed < leg.dialed):
        leg.dialed, changed = dialed, True
    if ring_limit_ms and (leg.ring_limit_ms is None or ring_limit_ms < leg.ring_limit_ms):
        leg.ring_limit_ms, changed = ring_limit_ms, True
    if flags and not leg.flags.issuperset(flags):
        leg.flags, changed = leg.flags.union(flags), True
    if silences and not leg.silences.issuperset(silences):
        leg.silences, changed = leg.silences.union(silences), True
    return changed


def _fold_told_once(leg: Leg, event: LegEvent) -> bool:
    """Take what counts for the leg only where the event is not about one of its visits."""
    if event.kind in _VISITS:
        return False
    changed = False
    queue, exit_hint = event.queue, event.queue_exit
    if queue is not None and (leg.queue is None or queue < leg.queue):
        leg.queue, changed = queue, True
    if exit_hint is not None and (leg.exit_hint is None or exit_hint < leg.exit_hint):
        leg.exit_hint, changed = exit_hint, True
    return changed


def merge(leg: Leg, other: Leg) -> None:
    """Add another copy's facts, as they come from another key of the call."""
    if other.parent is not None:
        merge_link(leg, other.rank, other.parent)
    leg.role, leg.context = min(leg.role, other.role), min(leg.context, other.context)
    leg.is_real, leg.tells_core = leg.is_real or other.is_real, leg.tells_core or other.tells_core
    for name in _LEAST:
        setattr(leg, name, _least(getattr(leg, name), getattr(other, name)))
    if other.end is not None and (leg.end is None or other.end.order() < leg.end.order()):
        leg.end = other.end
    _merge_times(leg, other)
    for visit_id, visit in other.visits.items():
        _merge_visit(leg, visit_id, visit)
    leg.flags, leg.silences = leg.flags | other.flags, leg.silences | other.silences
    leg.last_ms = max(leg.last_ms, other.last_ms)


def _merge_times(leg: Leg, other: Leg) -> None:
    for peer, times in other.bridges.items():
        for at_ms in times:
            _add_bridge(leg, peer, at_ms)
    for peer, times in other.unbridges.items():
        for at_ms in times:
            _add_unbridge(leg, peer, at_ms)
    for at_ms in other.holds:
        _add_hold(leg, at_ms)
    for at_ms in other.unholds:
        _add_unhold(leg, at_ms)


_LEAST = (
    "group_id", "direction", "queue", "agent", "dialed", "source", "offered_ms", "rang_ms", "answered_ms", "ring_limit_ms", "exit_hint",
)  # fmt: skip


def _least(mine: T | None, other: T | None) -> T | None:
    if mine is None:
        return other
    return mine if other is None or mine <= other else other  # type: ignore[operator] # only int and str come here


def merge_link(leg: Leg, rank: int, parent: str) -> bool:
    """Keep the better of two links; a leg that names itself as its cause names none. Return whether it changed."""
    if parent == leg.leg_id or (leg.parent is not None and (leg.rank, leg.parent) <= (rank, parent)):
        return False
    leg.rank, leg.parent = rank, parent
    return True


def _add_bridge(leg: Leg, peer: str, at_ms: int) -> bool:
    if leg.bridges is _NO_PEERS:
        leg.bridges = {}
    return _add_peer_time(leg.bridges, peer, at_ms)


def _add_unbridge(leg: Leg, peer: str, at_ms: int) -> bool:
    if leg.unbridges is _NO_PEERS:
        leg.unbridges = {}
    return _add_peer_time(leg.unbridges, peer, at_ms)


def _add_hold(leg: Leg, at_ms: int) -> bool:
    if leg.holds is _NO_TIMES:
        leg.holds = []
    return _add_time(leg.holds, at_ms)


def _add_unhold(leg: Leg, at_ms: int) -> bool:
    if leg.unholds is _NO_TIMES:
        leg.unholds = []
    return _add_time(leg.unholds, at_ms)


def _add_time(times: list[int], at_ms: int) -> bool:
    if at_ms in times or (len(times) == MOST_TIMES and at_ms > times[-1]):
        return False
    insort(times, at_ms)
    del times[MOST_TIMES:]
    return True


def _add_peer_time(peers: dict[str, list[int]], peer: str, at_ms: int) -> bool:
    times = peers.get(peer)
    if times is not None and at_ms in times:
        return False
    if sum(map(len, peers.values())) == MOST_TIMES:
        latest_ms, latest = max((times[-1], peer) for peer, times in peers.items())
        if (at_ms, peer) > (latest_ms, latest):
            return False
        peers[latest].pop()
        if not peers[latest]:
            del peers[latest]
    insort(peers.setdefault(peer, []), at_ms)
    return True


def _merge_visit(leg: Leg, visit_id: str, other: Visit) -> bool:
    visit = leg.visits.get(visit_id)
    if leg.visits is _NO_VISITS:
        leg.visits = {}
    if visit is None:
        leg.visits[visit_id] = other
        if len(leg.visits) > MOST_TIMES:
            del leg.visits[max(leg.visits)]  # the least ids stay, whatever the order
        return visit_id in leg.visits
    merged = Visit(*map(_least, astuple(visit), astuple(other)))
    leg.visits[visit_id] = merged
    return merged != visit


# Legs and bytes.


def stored_leg(leg: Leg) -> StoredLeg:
    """Return the facts as they are stored and passed on. They share their maps and lists: encode them before the leg changes."""
    end = leg.end
    return StoredLeg(
        leg.leg_id, leg.parent, leg.rank, leg.group_id, leg.direction, leg.role, leg.context, leg.queue, leg.agent, leg.dialed, leg.source,
        leg.is_real, leg.offered_ms, leg.rang_ms, leg.answered_ms,
        None if end is None else StoredEnd(end.authority, end.at_ms, end.cause, end.ended_by, end.sip_status),
        leg.ring_limit_ms, leg.last_ms, leg.tells_core, leg.bridges, leg.unbridges, leg.holds, leg.unholds, leg.visits, leg.exit_hint,
        leg.flags, leg.silences,
    )  # fmt: skip


def leg_of_stored(stored: StoredLeg) -> Leg:
    """Return the leg that `stored_leg` was given."""
    leg = Leg(stored.leg_id)
    leg.parent, leg.rank, leg.group_id = stored.parent, stored.rank, stored.group_id
    leg.direction, leg.role, leg.context = stored.direction, stored.role, stored.context
    leg.queue, leg.agent, leg.dialed, leg.source = stored.queue, stored.agent, stored.dialed, stored.source
    leg.is_real, leg.tells_core = stored.is_real, stored.tells_core
    leg.offered_ms, leg.rang_ms, leg.answered_ms = stored.offered_ms, stored.rang_ms, stored.answered_ms
    end = stored.end
    leg.end = None if end is None else End(end.authority, end.at_ms, end.cause, end.ended_by, end.sip_status)
    leg.ring_limit_ms, leg.last_ms, leg.exit_hint = stored.ring_limit_ms, stored.last_ms, stored.exit_hint
    leg.bridges, leg.unbridges = stored.bridges or _NO_PEERS, stored.unbridges or _NO_PEERS
    leg.holds, leg.unholds, leg.visits = stored.holds or _NO_TIMES, stored.unholds or _NO_TIMES, stored.visits or _NO_VISITS
    leg.flags, leg.silences = stored.flags or _NONE, stored.silences or _NONE
    return leg
