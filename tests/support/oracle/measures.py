"""Durations of a leg and the queue that it belongs to (verdicts, section 7)."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.oracle.callers import queue_of_caller
from tests.support.oracle.calls import first_caller
from tests.support.oracle.facts import Leg
from tests.support.oracle.scene import OFFERED, Scene, visit_of


def queue_of(scene: Scene, leg: Leg) -> str | None:
    """The leg's own queue, else (of an offered leg) its visit's, else that of the call's root caller."""
    visit = visit_of(scene, leg) if scene.role(leg) in OFFERED else None
    return leg.queue or (visit.queue if visit else None) or root_queue(scene)


def root_queue(scene: Scene) -> str | None:
    caller = first_caller(scene)
    return queue_of_caller(caller, scene.policy) if caller else None


def ring_ms(leg: Leg) -> int | None:
    rang = leg.rang_ms is not None and "ringing" not in leg.cannot_report
    begin_ms = leg.rang_ms if rang else leg.offered_ms
    end_ms = leg.answered_ms if leg.answered_ms is not None else leg.ended_ms
    return None if begin_ms is None or end_ms is None else max(0, end_ms - begin_ms)


def talk_ms(scene: Scene, leg: Leg) -> int | None:
    """None if never answered; time up to a bridge's end that is not known yet is not counted."""
    if leg.answered_ms is None:
        return None
    if "bridges" in leg.cannot_report:
        return 0 if leg.ended_ms is None else max(0, leg.ended_ms - leg.answered_ms)
    unbridges = scene.unbridges[leg.leg_id]
    return _union_ms(
        _interval(at_ms, {at for at, side in unbridges if side == peer}, leg.ended_ms) for at_ms, peer in scene.bridges[leg.leg_id]
    )


def hold_ms(leg: Leg) -> int | None:
    if leg.answered_ms is None:
        return None
    return _union_ms(_interval(at_ms, leg.unholds, leg.ended_ms) for at_ms in leg.holds)


def _interval(begin_ms: int, stops: Iterable[int], ended_ms: int | None) -> tuple[int, int]:
    """From a bridge or hold to the next stop, but never past the leg's end."""
    limits = [at_ms for at_ms in (*[stop_ms for stop_ms in stops if stop_ms > begin_ms], ended_ms) if at_ms is not None]
    return begin_ms, max(begin_ms, min(limits, default=begin_ms))


def _union_ms(intervals: Iterable[tuple[int, int]]) -> int:
    total_ms = covered_to_ms = 0
    for begin_ms, end_ms in sorted(intervals):
        total_ms += max(0, end_ms - max(begin_ms, covered_to_ms))
        covered_to_ms = max(covered_to_ms, end_ms)
    return total_ms
