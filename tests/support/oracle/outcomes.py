"""What became of a caller in each queue: visits, calls without a visit, and calls that somebody answered outside of their visits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.core.model import Result
from tests.support.oracle.calls import CallAnswer, Verdicts, first_caller
from tests.support.oracle.facts import Leg, Visit
from tests.support.oracle.measures import queue_of, root_queue
from tests.support.oracle.scene import Scene, Win, is_expired, joined_ms, visit_of, visit_order, visits

NO_QUEUE = "(none)"
LIMITS = frozenset({"queue_timeout", "queue_no_agents", "queue_exit_key"})
LEFT_FOR = LIMITS | {"voicemail", "transferred_away"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitAnswer:
    """One visit's result; all None while it is pending. `wait_ms` is 0 where no end of the wait is known."""

    queue: str
    result: Result | None
    reason: str | None
    wait_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a stay ended, in the words of the columns, and why; `pending` has no reason."""

    word: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """What is counted once as a call in a queue. `wait_ms` is None where no end of a wait is known; `over_ms` is None while pending."""

    queue: str
    offered_ms: int
    outcome: Outcome
    wait_ms: int | None = None
    over_ms: int | None = None


PENDING = Outcome(word="pending")
CONNECTED = Outcome(word="answered", reason="connected")
LEFT = Outcome(word="flow_out", reason="left")


def stays(scene: Scene, verdicts: Verdicts, call: CallAnswer) -> list[Stay]:
    """Every call that this one counts as, of each queue that it was in."""
    found = _callers_visits(scene)
    if not found:
        return _whole_call(scene, call)
    is_elsewhere = call.result == Result.ANSWERED and all(first_win_in(scene, visit) is None for visit in found)
    elsewhere = _answered_elsewhere(scene) if is_elsewhere else []
    return [_stay_of(scene, visit, verdicts) for visit in found] + elsewhere


def of_verdict(result: Result | None, reason: str | None) -> Outcome:
    if result is None:
        return PENDING
    if result != Result.CANCEL:
        return Outcome(word=column_word(result), reason=reason)
    if reason == "after_hours":
        return Outcome(word="outside_working_hours", reason=reason)
    return Outcome(word="flow_out" if reason in LEFT_FOR else "abandoned", reason=reason)


def column_word(result: Result) -> str:
    return result.value.lower().replace("-", "_")


# -- visits


def judge_visit(scene: Scene, visit: Visit) -> VisitAnswer:
    """A visit as section 7 of the verdicts sees it: Answered or Cancel."""
    queue = visit.queue or NO_QUEUE
    if not _is_over(scene, visit):
        return VisitAnswer(queue=queue, result=None, reason=None, wait_ms=None)
    wait_ms = _wait_ms(joined_ms(scene, visit), _stopped_ms(scene, visit)) or 0
    if first_win_in(scene, visit) is not None:
        return VisitAnswer(queue=queue, result=Result.ANSWERED, reason="connected", wait_ms=wait_ms)
    return VisitAnswer(queue=queue, result=Result.CANCEL, reason=visit.exit or "abandoned", wait_ms=wait_ms)


def _stay_of(scene: Scene, visit: Visit, verdicts: Verdicts) -> Stay:
    queue, at_ms = visit.queue or NO_QUEUE, joined_ms(scene, visit)
    if not _is_over(scene, visit):
        return Stay(queue=queue, offered_ms=at_ms, outcome=PENDING)
    stopped_ms = _stopped_ms(scene, visit)
    over_ms = scene.group.legs[visit.leg_id].last_ms if stopped_ms is None else stopped_ms
    outcome = _outcome(scene, visit, verdicts)
    return Stay(queue=queue, offered_ms=at_ms, outcome=outcome, wait_ms=_wait_ms(at_ms, stopped_ms), over_ms=over_ms)


def _outcome(scene: Scene, visit: Visit, verdicts: Verdicts) -> Outcome:
    if first_win_in(scene, visit) is not None:
        return CONNECTED
    if visit.exit in LIMITS:
        return Outcome(word="flow_out", reason=visit.exit)
    if _is_followed(scene, visit):
        return LEFT
    verdict = verdicts[visit.leg_id]
    judged = of_verdict(verdict.result, verdict.reason) if verdict else PENDING
    return LEFT if judged.word in {"answered", "pending"} else judged


def _is_over(scene: Scene, visit: Visit) -> bool:
    owner = scene.group.legs[visit.leg_id]
    return _stopped_ms(scene, visit) is not None or is_expired(scene, owner)


def _stopped_ms(scene: Scene, visit: Visit) -> int | None:
    """The end of the wait: the first win in the visit, else its leaving, else the end of the leg that waited."""
    moments = (first_win_in(scene, visit), visit.left_ms, scene.group.legs[visit.leg_id].ended_ms)
    return next((at_ms for at_ms in moments if at_ms is not None), None)


def _is_followed(scene: Scene, visit: Visit) -> bool:
    return any(visit_order(scene, other) > visit_order(scene, visit) for other in _callers_visits(scene))


def _callers_visits(scene: Scene) -> list[Visit]:
    """Without those of pseudo legs: no person waited."""
    return [visit for visit in visits(scene) if scene.role(scene.group.legs[visit.leg_id]) != "pseudo"]


def first_win_in(scene: Scene, visit: Visit) -> int | None:
    """When a leg that was offered in this visit first won, or somebody picked the caller up during it."""
    offered_in = {leg.leg_id for leg in scene.offered if visit_of(scene, leg) == visit}
    pick_ups = [win for win in scene.wins if win.leg_id == visit.leg_id and is_pick_up(win)]
    picked_up = [win.at_ms for win in pick_ups if _visit_at(scene, visit.leg_id, win.at_ms) == visit]
    return min([win.at_ms for win in scene.wins if win.leg_id in offered_in] + picked_up, default=None)


def is_pick_up(win: Win) -> bool:
    """A leg of another call took this one."""
    return win.shown_leg_id != win.leg_id


def _visit_at(scene: Scene, leg_id: str, at_ms: int) -> Visit | None:
    """The latest visit of this leg that was going on."""
    found = [visit for visit in visits(scene) if visit.leg_id == leg_id]
    going_on = [visit for visit in found if joined_ms(scene, visit) <= at_ms and (visit.left_ms is None or at_ms <= visit.left_ms)]
    return max(going_on, key=lambda visit: visit_order(scene, visit), default=None)


def _wait_ms(begin_ms: int, stopped_ms: int | None) -> int | None:
    return None if stopped_ms is None else max(0, stopped_ms - begin_ms)


# -- calls


def _answered_elsewhere(scene: Scene) -> list[Stay]:
    """The first win, where nobody won in any visit: once more, in the queue of the leg that won, waiting since that leg's offer."""
    if not scene.wins:
        return []
    win = scene.wins[0]
    leg = scene.group.legs[win.leg_id]
    at_ms = win.at_ms if is_pick_up(win) else win.offered_ms
    queue = queue_of(scene, leg) or NO_QUEUE
    return [Stay(queue=queue, offered_ms=at_ms, outcome=CONNECTED, wait_ms=_wait_ms(at_ms, win.at_ms), over_ms=win.at_ms)]


def _whole_call(scene: Scene, call: CallAnswer) -> list[Stay]:
    """The call itself, in the queue of its first offer; nothing for a call of pseudo legs."""
    real = [leg for leg in scene.legs if scene.role(leg) != "pseudo" and leg.offered_ms is not None]
    if not real:
        return []
    earliest_ms = min(leg.offered_ms or 0 for leg in real)
    first = min(scene.offered, key=lambda leg: (leg.offered_ms or 0, leg.leg_id), default=None)
    queue = (queue_of(scene, first) if first else root_queue(scene)) or NO_QUEUE
    outcome = of_verdict(call.result, call.reason)
    if call.decided_by_leg_id is None:
        return [Stay(queue=queue, offered_ms=earliest_ms, outcome=outcome)]
    begin_ms, stopped_ms = _wait_of_call(scene, earliest_ms)
    wait_ms, over_ms = _wait_ms(begin_ms, stopped_ms), _over_ms(scene, real)
    return [Stay(queue=queue, offered_ms=earliest_ms, outcome=outcome, wait_ms=wait_ms, over_ms=over_ms)]


def _wait_of_call(scene: Scene, earliest_ms: int) -> tuple[int, int | None]:
    """From the caller's offer to the first win, else to the caller's end."""
    caller = first_caller(scene)
    begin_ms = caller.offered_ms if caller and caller.offered_ms is not None else earliest_ms
    return begin_ms, scene.wins[0].at_ms if scene.wins else (caller.ended_ms if caller else None)


def _over_ms(scene: Scene, real: Iterable[Leg]) -> int:
    """The first win, else the end of the root caller, else the last end of all; a last event stands for an end that is not known."""
    caller = first_caller(scene)
    if scene.wins:
        return scene.wins[0].at_ms
    return max(leg.last_ms if leg.ended_ms is None else leg.ended_ms for leg in ([caller] if caller else real))
