"""Section 7 of the verdicts: what one call adds to the tallies, recounted from its facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.core.model import Counts, Result
from tests.support.oracle.callers import queue_of_caller
from tests.support.oracle.calls import CallAnswer, Verdicts, first_caller
from tests.support.oracle.facts import Leg, Visit
from tests.support.oracle.scene import OFFERED, Scene, is_expired, joined_ms, visit_of, visits

NO_QUEUE = "(none)"
TallyKey = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is counted once: an offered leg, a visit, or a call without a visit."""

    queue: str
    at_ms: int
    columns: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitAnswer:
    """One visit's result; all None while it is pending. `wait_ms` is 0 where no end of the wait is known."""

    queue: str
    result: Result | None
    reason: str | None
    wait_ms: int | None


def count(scene: Scene, verdicts: Verdicts, call: CallAnswer, tallies: dict[TallyKey, Counts]) -> None:
    """Adds one call to the tallies, for every size of window."""
    for unit in (*_leg_units(scene, verdicts), *_call_units(scene, call)):
        for size_ms in scene.policy.window_sizes_ms:
            key = (scene.group.tenant, unit.queue, size_ms, unit.at_ms - unit.at_ms % size_ms)
            _add(tallies.setdefault(key, Counts()), unit.columns)


def _add(counts: Counts, columns: dict[str, int]) -> None:
    for column, value in columns.items():
        setattr(counts, column, getattr(counts, column) + value)


def _column(prefix: str, result: Result | None) -> str:
    return f"{prefix}_{result.value.lower().replace('-', '_') if result else 'pending'}"


# -- legs


def _leg_units(scene: Scene, verdicts: Verdicts) -> Iterable[Unit]:
    for leg in scene.offered:
        verdict = verdicts[leg.leg_id]
        columns = {
            "legs_offered": 1,
            _column("legs", verdict.result if verdict else None): 1,
            "legs_ring_ms": ring_ms(leg) or 0,
            "legs_talk_ms": talk_ms(scene, leg) or 0,
        }
        yield Unit(queue=queue_of(scene, leg) or NO_QUEUE, at_ms=leg.offered_ms or 0, columns=columns)


def queue_of(scene: Scene, leg: Leg) -> str | None:
    """The leg's own queue, else (of an offered leg) its visit's, else that of the call's root caller."""
    visit = visit_of(scene, leg) if scene.role(leg) in OFFERED else None
    return leg.queue or (visit.queue if visit else None) or _root_queue(scene)


def _root_queue(scene: Scene) -> str | None:
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


# -- visits and calls


def _call_units(scene: Scene, call: CallAnswer) -> Iterable[Unit]:
    found = visits(scene)
    if not found:
        yield from _unit_without_visit(scene, call)
    for visit in found:
        answer = judge_visit(scene, visit)
        columns = {"calls_offered": 1, _column("calls", answer.result): 1, "calls_wait_ms": answer.wait_ms or 0}
        yield Unit(queue=answer.queue, at_ms=joined_ms(scene, visit), columns=columns)


def judge_visit(scene: Scene, visit: Visit) -> VisitAnswer:
    owner = scene.group.legs[visit.leg_id]
    queue = visit.queue or NO_QUEUE
    won_ms = _first_win_in(scene, visit)
    if won_ms is None and visit.left_ms is None and owner.end is None and not is_expired(scene, owner):
        return VisitAnswer(queue=queue, result=None, reason=None, wait_ms=None)
    stopped_ms = next((at_ms for at_ms in (won_ms, visit.left_ms, owner.ended_ms) if at_ms is not None), None)
    wait_ms = max(0, stopped_ms - joined_ms(scene, visit)) if stopped_ms is not None else 0
    if won_ms is not None:
        return VisitAnswer(queue=queue, result=Result.ANSWERED, reason="connected", wait_ms=wait_ms)
    return VisitAnswer(queue=queue, result=Result.CANCEL, reason=visit.exit or "abandoned", wait_ms=wait_ms)


def _first_win_in(scene: Scene, visit: Visit) -> int | None:
    offered_in = {leg.leg_id for leg in scene.offered if visit_of(scene, leg) == visit}
    picked_up = [win.at_ms for win in scene.wins if win.leg_id == visit.leg_id and _is_during(scene, visit, win.at_ms)]
    return min([win.at_ms for win in scene.wins if win.leg_id in offered_in] + picked_up, default=None)


def _is_during(scene: Scene, visit: Visit, at_ms: int) -> bool:
    return joined_ms(scene, visit) <= at_ms and (visit.left_ms is None or at_ms <= visit.left_ms)


def _unit_without_visit(scene: Scene, call: CallAnswer) -> Iterable[Unit]:
    real = [leg for leg in scene.legs if scene.role(leg) != "pseudo" and leg.offered_ms is not None]
    if not real:
        return
    first = min(scene.offered, key=lambda leg: (leg.offered_ms or 0, leg.leg_id), default=None)
    queue = (queue_of(scene, first) if first else _root_queue(scene)) or NO_QUEUE
    at_ms = min(leg.offered_ms or 0 for leg in real)
    columns = {"calls_offered": 1, _column("calls", call.result): 1, "calls_wait_ms": _wait_ms(scene, call, at_ms)}
    yield Unit(queue=queue, at_ms=at_ms, columns=columns)


def _wait_ms(scene: Scene, call: CallAnswer, earliest_ms: int) -> int:
    if call.result is None:
        return 0
    caller = first_caller(scene)
    begin_ms = caller.offered_ms if caller and caller.offered_ms is not None else earliest_ms
    stop_ms = scene.wins[0].at_ms if scene.wins else (caller.ended_ms if caller else None)
    return max(0, stop_ms - begin_ms) if stop_ms is not None else 0
