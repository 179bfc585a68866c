"""The decisions of callers' legs, one function a row of the rule table, as in rules.py."""

from __future__ import annotations

from pipeline.core.case import Case, other_offers, verdict
from pipeline.core.causes import CAUSE
from pipeline.core.hours import is_open
from pipeline.core.leg import Leg
from pipeline.core.model import Result, Verdict
from pipeline.core.race import cause_of, stays
from pipeline.core.rules import failed_reason


def a3_reached(case: Case) -> Verdict | None:
    if case.leg.leg_id in case.race.connected or case.race.wins:
        return verdict(Result.ANSWERED, "connected", "A3")
    return None


def c1_after_hours(case: Case) -> Verdict | None:
    return verdict(Result.CANCEL, "after_hours", "C1") if "after_hours" in case.leg.flags or _entered_closed_queue(case) else None


def _entered_closed_queue(case: Case) -> bool:
    policy, leg = case.race.policy, case.leg
    if not policy.hours:
        return False
    entered = stays([leg])
    queue = entered[0].visit.queue if entered else leg.queue or policy.queue_of_number.get(leg.dialed or "")
    at_ms = entered[0].joined_ms if entered else leg.offered_ms
    hours = policy.hours.get(queue or "")
    return hours is not None and at_ms is not None and not is_open(hours, at_ms)


def c2_left_the_queue(case: Case) -> Verdict | None:
    reason = _queue_exit(case.leg)
    return verdict(Result.CANCEL, reason, "C2") if reason is not None else None


def _queue_exit(leg: Leg) -> str | None:
    """Return the exit of the leg's last visit, else what a witness said who named no visit."""
    made = stays([leg])
    return (made[-1].visit.exit if made else None) or leg.exit_hint


def c3_abandoned(case: Case) -> Verdict | None:
    if case.ended_by == "far_hung_up" or case.cause == "ORIGINATOR_CANCEL":
        return verdict(Result.CANCEL, "abandoned", "C3")
    return None


def c4_voicemail(case: Case) -> Verdict | None:
    race, leg = case.race, case.leg
    to_machine = any(peer in race.machines for peer in leg.bridges) or any(leg.leg_id in race.legs[one].bridges for one in race.machines)
    return verdict(Result.CANCEL, "voicemail", "C4") if "voicemail" in leg.flags or to_machine else None


def c7b_own_line_died(case: Case) -> Verdict | None:
    offered = other_offers(case)
    if case.ended_by == "far_hung_up" or case.result_class is not Result.FAILED or not offered:
        return None
    if any(cause_of(leg, case.race.legs, case.race.roles, case.race.roots) == case.cause for leg in offered):
        return None
    return verdict(Result.FAILED, CAUSE[case.cause].reason, "C7b")


def c6_all_alike(case: Case) -> Verdict | None:
    results = {found.result for leg in other_offers(case) if leg.end is not None and (found := case.others(leg.leg_id)) is not None}
    if results == {Result.FAILED} or (results == {Result.BUSY} and case.race.context == "inbound_direct"):
        return verdict(results.pop(), "all_offers_alike", "C6")
    return None


def c7_nothing_offered(case: Case) -> Verdict | None:
    if other_offers(case):
        return None
    if case.result_class is None:
        return verdict(Result.FAILED, "unknown_cause", "C7", needs_review=True)
    return verdict(Result.FAILED, failed_reason(case), "C7") if case.result_class is Result.FAILED else None


def c8_not_answered(_case: Case) -> Verdict | None:
    return verdict(Result.CANCEL, "not_answered", "C8")
