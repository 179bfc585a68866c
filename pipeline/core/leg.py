"""The facts of one leg: a fold of its events that ignores order and repetition (verdicts, section 1).

Every fact is a minimum, a maximum or a union, ties by name, so events may come in any order, twice, or by way of another call.
"""

from __future__ import annotations

from bisect import insort
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from pipeline.core.model import (
    CONTEXTS,
    ROLES,
    AtMs,
    Context,
    Direction,
    DurationMs,
    EndedBy,
    Id,
    LegEvent,
    QueueExit,
    Role,
    SipStatus,
    Word,
)  # fmt: skip

T = TypeVar("T")

MOST_TIMES = 64
"""How many bridges and how many holds a leg remembers: the earliest; and how many visits: those of the least ids."""
NO_LINK_RANK = 1_000
Rank = Annotated[int, Meta(ge=0, le=NO_LINK_RANK)]
Times = Annotated[list[AtMs], Meta(min_length=1, max_length=64)]
_ENDED_BY_ORDER: dict[str | None, int] = {"far_hung_up": 0, "far_refused": 1, "platform": 2, None: 3}
_HINTS = ("group_id", "direction", "agent", "dialed", "source", "ring_limit_ms")  # the least that was told counts
_VISITS = frozenset({"queue_joined", "queue_left"})  # their queue is the visit's, not the leg's
_PLAIN = frozenset({"offered", "noted"})  # which tell nothing but their time
_FRAGMENTS = frozenset({"bridged", "unbridged", "noted"})


class End(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a leg ended, by the best-informed witness."""

    authority: Annotated[int, Meta(ge=0, le=9)]
    at_ms: AtMs
    cause: Word
    ended_by: EndedBy | None
    sip_status: SipStatus | None

    def order(self) -> tuple[int, int, str, int, int]:
        """Return the key by which of two ends the least counts; what is unknown comes last."""
        return (self.authority, self.at_ms, self.cause, _ENDED_BY_ORDER[self.ended_by], self.sip_status or 1_000)


class Visit(msgspec.Struct, array_like=True, gc=False):
    """One stay of a caller in one queue."""

    queue: Word | None = None
    joined_ms: AtMs | None = None
    left_ms: AtMs | None = None
    exit: QueueExit | None = None


class Leg(msgspec.Struct, array_like=True, gc=False):
    """The facts. Mutable: only `fold`, `merge` and `merge_link` write to it."""

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
    end: End | None = None
    ring_limit_ms: DurationMs | None = None
    last_ms: AtMs = 0
    tells_core: bool = False  # its switch tells its runs (core_id)
    bridges: dict[str, Times] = {}
    unbridges: dict[str, Times] = {}
    holds: list[AtMs] = []
    unholds: list[AtMs] = []
    visits: dict[str, Visit] = {}
    exit_hint: QueueExit | None = None  # how the caller left, from a witness that names no visit
    flags: frozenset[str] = frozenset()
    silences: frozenset[str] = frozenset()

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


_ROLE_INDEX: dict[str, int] = {role: index for index, role in enumerate(ROLES)}
_CONTEXT_INDEX: dict[str, int] = {context: index for index, context in enumerate(CONTEXTS)}


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
    if event.kind == "bridged":
        return _add_peer_time(leg.bridges, event.peer_leg_id or "", event.at_ms)
    if event.kind == "unbridged":
        return _add_peer_time(leg.unbridges, event.peer_leg_id or "", event.at_ms)
    if event.kind == "held":
        return _add_time(leg.holds, event.at_ms)
    if event.kind == "unheld":
        return _add_time(leg.unholds, event.at_ms)
    return _fold_visit(leg, event)


def _fold_visit(leg: Leg, event: LegEvent) -> bool:
    joined_ms = event.joined_ms
    if joined_ms is None and event.kind == "queue_joined":
        joined_ms = event.at_ms
    left_ms = event.at_ms if event.kind == "queue_left" else None
    visit_id = event.visit_id or f"{event.queue or ''}@{'' if joined_ms is None else joined_ms}"
    return _merge_visit(leg, visit_id, Visit(event.queue, joined_ms, left_ms, event.queue_exit))


def _fold_hints(leg: Leg, event: LegEvent) -> bool:
    changed = False
    if event.parent_leg_id is not None:
        changed = merge_link(leg, event.link_rank, event.parent_leg_id)
    for name in _HINTS:
        told = getattr(event, name)
        if told:
            known = getattr(leg, name)
            if known is None or told < known:
                setattr(leg, name, told)
                changed = True
    if event.core_id is not None and not leg.tells_core:
        leg.tells_core = changed = True
    if event.role is not None and _ROLE_INDEX[event.role] < leg.role:
        leg.role, changed = _ROLE_INDEX[event.role], True
    if event.context is not None and _CONTEXT_INDEX[event.context] < leg.context:
        leg.context, changed = _CONTEXT_INDEX[event.context], True
    if event.flags and not leg.flags.issuperset(event.flags):
        leg.flags, changed = leg.flags.union(event.flags), True
    if event.cannot_report and not leg.silences.issuperset(event.cannot_report):
        leg.silences, changed = leg.silences.union(event.cannot_report), True
    return _fold_told_once(leg, event) or changed


def _fold_told_once(leg: Leg, event: LegEvent) -> bool:
    """Take what counts for the leg only where the event is not about one of its visits."""
    if event.kind in _VISITS:
        return False
    before = leg.queue, leg.exit_hint
    leg.queue, leg.exit_hint = _least(leg.queue, event.queue), _least(leg.exit_hint, event.queue_exit)
    return before != (leg.queue, leg.exit_hint)


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
    for mine, others in ((leg.bridges, other.bridges), (leg.unbridges, other.unbridges)):
        for peer, times in others.items():
            for at_ms in times:
                _add_peer_time(mine, peer, at_ms)
    for at_ms in other.holds:
        _add_time(leg.holds, at_ms)
    for at_ms in other.unholds:
        _add_time(leg.unholds, at_ms)
    for visit_id, visit in other.visits.items():
        _merge_visit(leg, visit_id, visit)
    leg.flags, leg.silences = leg.flags | other.flags, leg.silences | other.silences
    leg.last_ms = max(leg.last_ms, other.last_ms)


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
    if visit is None:
        leg.visits[visit_id] = other
        if len(leg.visits) > MOST_TIMES:
            del leg.visits[max(leg.visits)]  # the least ids stay, whatever the order
        return visit_id in leg.visits
    merged = Visit(*map(_least, astuple(visit), astuple(other)))
    leg.visits[visit_id] = merged
    return merged != visit
