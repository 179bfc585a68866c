"""What the oracle knows of one leg: every fact of section 1 of the verdicts, computed at once from all events of the leg."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.core.model import CONTEXTS, ROLES, Context, Direction, EndedBy, Flag, LegEvent, QueueExit, Role, Silence

T = TypeVar("T", bound=int | str)
Word = TypeVar("Word")

KEPT_TIMES = 64
LAST = "\U0010ffff"  # sorts after every word: the unknown
WITHOUT_ROW = frozenset({"bridged", "unbridged", "noted"})
VISIT_KINDS = frozenset({"queue_joined", "queue_left"})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The best-informed end of a leg. `cause` is NONE where the source named none."""

    authority: int
    at_ms: int
    cause: str
    ended_by: EndedBy | None
    sip_status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One stay of a leg in a queue; the key of a visit is (leg, visit_id)."""

    leg_id: str
    visit_id: str
    queue: str | None
    joined_ms: int | None
    left_ms: int | None
    exit: QueueExit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """The folded facts of one leg. `is_fragment`: only bridges and notes are known, so it has no row."""

    tenant: str
    leg_id: str
    is_fragment: bool
    link: str | None
    group_id: str | None
    role_hint: Role | None
    context_hint: Context | None
    direction: Direction | None
    agent: str | None
    queue: str | None
    dialed: str | None
    offered_ms: int | None
    rang_ms: int | None
    answered_ms: int | None
    end: End | None
    ring_limit_ms: int | None
    bridges: frozenset[tuple[int, str]]
    unbridges: frozenset[tuple[int, str]]
    holds: frozenset[int]
    unholds: frozenset[int]
    visits: tuple[Visit, ...]
    exit_hint: QueueExit | None
    flags: frozenset[Flag]
    cannot_report: frozenset[Silence]
    last_ms: int
    runs_of: str | None  # the switch, if it tells its runs

    @property
    def ended_ms(self) -> int | None:
        return self.end.at_ms if self.end else None

    @property
    def ended_by(self) -> EndedBy | None:
        return self.end.ended_by if self.end else None

    @property
    def sip_status(self) -> int | None:
        return self.end.sip_status if self.end else None


def fold(events: Sequence[LegEvent]) -> Leg:
    """All events of one leg (at least one, one tenant) as facts; order and repetition do not matter."""
    return Leg(
        tenant=events[0].tenant,
        leg_id=events[0].leg_id,
        is_fragment=all(event.kind in WITHOUT_ROW for event in events),
        link=_best_link(events),
        group_id=_least(event.group_id for event in events),
        role_hint=_first_of(ROLES, {event.role for event in events}),
        context_hint=_first_of(CONTEXTS, {event.context for event in events}),
        direction=_least(event.direction for event in events),
        agent=_least(event.agent for event in events),
        queue=_least(event.queue for event in events if event.kind not in VISIT_KINDS),
        dialed=_least(event.dialed for event in events),
        offered_ms=min((event.at_ms for event in events if event.kind != "noted"), default=None),
        rang_ms=min(_times(events, "ringing"), default=None),
        answered_ms=min(_times(events, "answered"), default=None),
        end=_best_end(events),
        ring_limit_ms=_least(event.ring_limit_ms for event in events),
        bridges=_moments(events, "bridged"),
        unbridges=_moments(events, "unbridged"),
        holds=frozenset(sorted(_times(events, "held"))[:KEPT_TIMES]),
        unholds=frozenset(sorted(_times(events, "unheld"))[:KEPT_TIMES]),
        visits=_visits(events),
        exit_hint=_least(event.queue_exit for event in events if event.kind not in VISIT_KINDS),
        flags=frozenset(flag for event in events for flag in event.flags),
        cannot_report=frozenset(word for event in events for word in event.cannot_report),
        last_ms=max(event.at_ms for event in events),
        runs_of=_least(event.source or None for event in events) if any(event.core_id for event in events) else None,
    )


def _least(values: Iterable[T | None]) -> T | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _first_of(order: Sequence[Word], seen: set[Word | None]) -> Word | None:
    return next((word for word in order if word in seen), None)


def _times(events: Iterable[LegEvent], kind: str) -> set[int]:
    return {event.at_ms for event in events if event.kind == kind}


def _best_link(events: Iterable[LegEvent]) -> str | None:
    links = [(event.link_rank, event.parent_leg_id) for event in events if event.parent_leg_id and event.parent_leg_id != event.leg_id]
    return min(links)[1] if links else None


def _best_end(events: Iterable[LegEvent]) -> End | None:
    ends = [_end(event) for event in events if event.kind == "ended"]
    return min(ends, key=_end_order, default=None)


def _end(event: LegEvent) -> End:
    cause = event.cause or "NONE"
    return End(authority=event.authority, at_ms=event.at_ms, cause=cause, ended_by=event.ended_by, sip_status=event.sip_status)


def _end_order(end: End) -> tuple[int, int, str, str, int]:
    return end.authority, end.at_ms, end.cause, end.ended_by or LAST, end.sip_status or 1_000


def _moments(events: Iterable[LegEvent], kind: str) -> frozenset[tuple[int, str]]:
    moments = {(event.at_ms, event.peer_leg_id) for event in events if event.kind == kind and event.peer_leg_id is not None}
    return frozenset(sorted(moments)[:KEPT_TIMES])


def _visits(events: Iterable[LegEvent]) -> tuple[Visit, ...]:
    by_id: dict[str, list[LegEvent]] = {}
    for event in events:
        if event.kind in VISIT_KINDS:
            by_id.setdefault(_visit_id(event), []).append(event)
    return tuple(_visit(visit_id, found) for visit_id, found in sorted(by_id.items())[:KEPT_TIMES])


def _visit_id(event: LegEvent) -> str:
    """Its own, else queue and join time, which a leaving may not tell: such leavings of a queue are one visit."""
    joined_ms = _joined_ms(event)
    return event.visit_id or f"{event.queue or ''}@{'' if joined_ms is None else joined_ms}"


def _joined_ms(event: LegEvent) -> int | None:
    return event.at_ms if event.joined_ms is None and event.kind == "queue_joined" else event.joined_ms


def _visit(visit_id: str, events: Sequence[LegEvent]) -> Visit:
    return Visit(
        leg_id=events[0].leg_id,
        visit_id=visit_id,
        queue=_least(event.queue for event in events),
        joined_ms=_least(_joined_ms(event) for event in events),
        left_ms=min(_times(events, "queue_left"), default=None),
        exit=_least(event.queue_exit for event in events),
    )
