"""Section 2 of the verdicts for callers, and the one door to both tables: `judge_leg`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from pipeline.core.model import Policy, Result, Verdict
from tests.support.oracle import causes, endings, rules
from tests.support.oracle.endings import Answer
from tests.support.oracle.facts import Leg
from tests.support.oracle.rules import Rule
from tests.support.oracle.scene import Scene, cause_of, is_connected, is_machine, joined_ms

STRONGEST_FIRST = (Result.ANSWERED, Result.TIMEOUT, Result.BUSY, Result.CANCEL, Result.LOSE_RACE, Result.FAILED)


def judge_leg(scene: Scene, leg: Leg) -> Verdict | None:
    """The verdict of any leg of the call; None for a pseudo leg (P1) and for one that has not ended (P2)."""
    if scene.role(leg) == "pseudo":
        return None
    if leg.end is None:
        return rules.apply(rules.WITHOUT_END, scene, leg)
    return rules.apply(CALLER_RULES if scene.role(leg) == "caller" else OFFERED_RULES, scene, leg)


def a3(scene: Scene, leg: Leg) -> Answer:
    return (Result.ANSWERED, "connected") if scene.wins or is_connected(scene, leg) else None


def c1(scene: Scene, leg: Leg) -> Answer:
    return (Result.CANCEL, "after_hours") if "after_hours" in leg.flags or _came_outside_hours(scene, leg) else None


def _came_outside_hours(scene: Scene, leg: Leg) -> bool:
    first = min(leg.visits, key=lambda visit: (joined_ms(scene, visit), visit.visit_id), default=None)
    queue = first.queue if first else queue_of_caller(leg, scene.policy)
    at_ms = joined_ms(scene, first) if first else leg.offered_ms
    return queue is not None and at_ms is not None and is_outside_hours(scene.policy, queue, at_ms)


def queue_of_caller(leg: Leg, policy: Policy) -> str | None:
    return leg.queue or policy.queue_of_number.get(leg.dialed or "")


def is_outside_hours(policy: Policy, queue: str, at_ms: int) -> bool:
    """False for a queue that has no hours."""
    hours = policy.hours.get(queue)
    if hours is None:
        return False
    local = dt.datetime.fromtimestamp(at_ms / 1000, tz=ZoneInfo(hours.tz))
    minute = local.hour * 60 + local.minute
    is_open = any(opens <= minute < closes for opens, closes in hours.week[local.weekday()])
    return not is_open or local.date().isoformat() in hours.holidays


def _ended_offers(scene: Scene) -> list[Leg]:
    return [leg for leg in scene.offered if leg.end]


def c5(scene: Scene, leg: Leg) -> Answer:
    if scene.role(leg) == "caller":
        return _as_dialed(scene, _ended_offers(scene)) if scene.context == "manual_outbound" else None
    if not rules.reached_no_customer(scene, leg):
        return None
    return _as_dialed(scene, [other for other in _ended_offers(scene) if scene.role(other) == "customer"])


def _as_dialed(scene: Scene, ended: Sequence[Leg]) -> Answer:
    if not ended:
        return None
    last = max(ended, key=_end_order)
    judged = [(leg, judge_leg(scene, leg)) for leg in ended if leg is last or _overlap(leg, last)]
    verdicts = [(verdict, _end_order(leg)) for leg, verdict in judged if verdict]
    strongest = min(STRONGEST_FIRST.index(verdict.result) for verdict, _ in verdicts)
    verdict, _ = max((pair for pair in verdicts if STRONGEST_FIRST.index(pair[0].result) == strongest), key=lambda pair: pair[1])
    return _own_words(verdict)


def _own_words(verdict: Verdict) -> Answer:
    return verdict.result, "agent_gave_up" if verdict.result == Result.CANCEL else verdict.reason, verdict.needs_review


def _end_order(leg: Leg) -> tuple[int, str]:
    return leg.ended_ms or 0, leg.leg_id


def _overlap(leg: Leg, other: Leg) -> bool:
    """Both at once for more than a moment: a gateway tried when the one before gave up does not overlap it."""
    return (leg.offered_ms or 0) < (other.ended_ms or 0) and (other.offered_ms or 0) < (leg.ended_ms or 0)


def c5b(scene: Scene, leg: Leg) -> Answer:
    if scene.context != "manual_outbound" or scene.offered:
        return None
    verdict = rules.apply(rules.FROM_F0, scene, leg)
    return _own_words(verdict) if verdict else None


def c2(scene: Scene, leg: Leg) -> Answer:
    left_by = exit_of(scene, leg)
    return (Result.CANCEL, left_by) if left_by else None


def exit_of(scene: Scene, leg: Leg) -> str | None:
    """The exit of the last visit; a leg's own hint where its visits say nothing."""
    last = max(leg.visits, key=lambda visit: (joined_ms(scene, visit), visit.visit_id), default=None)
    return (last.exit if last else None) or leg.exit_hint


def c3(scene: Scene, leg: Leg) -> Answer:
    gave_up = leg.ended_by == "far_hung_up" or cause_of(scene, leg) == "ORIGINATOR_CANCEL"
    return (Result.CANCEL, "abandoned") if gave_up else None


def c4(scene: Scene, leg: Leg) -> Answer:
    peers = [scene.group.legs[peer] for _, peer in scene.bridges[leg.leg_id] if peer in scene.group.legs]
    mailbox = "voicemail" in leg.flags or any(is_machine(scene, peer) for peer in peers)
    return (Result.CANCEL, "voicemail") if mailbox else None


def c7b(scene: Scene, leg: Leg) -> Answer:
    cause = cause_of(scene, leg)
    copied = any(cause_of(scene, offer) == cause for offer in _ended_offers(scene))
    died = leg.ended_by != "far_hung_up" and causes.class_of(cause) == Result.FAILED and bool(scene.offered) and not copied
    return (Result.FAILED, endings.reason_of(scene, leg)) if died else None


def c6(scene: Scene, _: Leg) -> Answer:
    results = {verdict.result for offer in _ended_offers(scene) if (verdict := judge_leg(scene, offer))}
    if results == {Result.FAILED} or (results == {Result.BUSY} and scene.context == "inbound_direct"):
        return next(iter(results)), "all_offers_alike"
    return None


def c7(scene: Scene, leg: Leg) -> Answer:
    return None if scene.offered else endings.u1(scene, leg) or endings.f1(scene, leg)


def c8(_: Scene, __: Leg) -> Answer:
    return Result.CANCEL, "not_answered"


OFFERED_RULES: tuple[Rule, ...] = (*rules.LOST_OR_ANSWERED, ("C5", c5), *rules.AFTER_C5)
CALLER_RULES: tuple[Rule, ...] = (
    ("A3", a3),
    ("F0", rules.f0),
    ("C1", c1),
    ("C5", c5),
    ("C5b", c5b),
    ("C2", c2),
    ("A4", rules.a4),
    ("C3", c3),
    ("C4", c4),
    ("C7b", c7b),
    ("C6", c6),
    ("C7", c7),
    ("C8", c8),
)
