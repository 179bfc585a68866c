"""The decisions, one function a row of the rule table: Case -> Verdict or None (verdicts, section 2).

Here stands how a row of offered legs, or of any leg, decides; callers' own rows stand in callers.py. Which rows there are, their order
and their reasons stand in classify.py.
"""

from __future__ import annotations

from pipeline.core.case import Case, lost, other_offers, timeout, verdict
from pipeline.core.causes import CAUSE, CUT_SHORT, GENERIC, LOSE_RACE_CLASS, LOSING, NO_CAUSE, SIP, TIMER, sip_verdict
from pipeline.core.leg import Leg
from pipeline.core.model import Result, Verdict
from pipeline.core.race import Race, deadline_ms, stay_of

# Legs that have not ended. P1 and P2 end the search without a verdict: see classify.NO_VERDICT.


def is_pseudo(leg: Leg, race: Race) -> bool:
    """Tell whether no person is behind the leg (P1)."""
    return race.roles[leg.leg_id] == "pseudo"


def is_open_leg(leg: Leg, race: Race, now_ms: int) -> bool:
    """Tell whether the leg may still go on (P2)."""
    return leg.end is None and now_ms < deadline_ms(leg, race)


def m1_connected_to_the_last(case: Case) -> Verdict | None:
    if case.leg.end is None and case.leg.leg_id in case.race.connected:
        return verdict(Result.ANSWERED, "no_end_event", "M1", needs_review=True)
    return None


def m2_never_ended(case: Case) -> Verdict | None:
    return verdict(Result.FAILED, "no_end_event", "M2", needs_review=True) if case.leg.end is None else None


# Offered legs.


def a1_connected(case: Case) -> Verdict | None:
    return verdict(Result.ANSWERED, "answered", "A1") if case.leg.leg_id in case.race.connected else None


def l0_winner_pending(case: Case) -> Verdict | None:
    in_company = not case.is_root or case.leg.group_id is not None
    if case.cause in LOSING and in_company and not (case.complete or case.rivals or case.picks):
        return verdict(Result.LOSE_RACE, "winner_pending", "L0")
    return None


def l1_lost(case: Case) -> Verdict | None:
    said_so = case.cause in LOSE_RACE_CLASS or "loser" in case.leg.flags
    return lost(case, "L1") if said_so and (case.rivals or case.picks) else None


def l2_winner_unknown(case: Case) -> Verdict | None:
    if case.cause not in LOSING or case.role == "customer":
        return None
    alone = case.is_root and case.race.size == 1
    rootless = not case.is_root and case.leg.leg_id in case.race.unseen and not case.race.wins
    return verdict(Result.LOSE_RACE, "winner_unknown", "L2") if alone or rootless else None


def l3_no_winner(case: Case) -> Verdict | None:
    return verdict(Result.CANCEL, "no_winner", "L3") if case.cause in LOSE_RACE_CLASS else None


def a2_root_answered(case: Case) -> Verdict | None:
    if not (case.answered and case.is_root):
        return None
    customers = [leg for leg in other_offers(case) if case.race.roles[leg.leg_id] == "customer"] if case.role == "agent" else []
    if any(leg.end for leg in customers) and all(leg.answered_ms is None for leg in customers):
        return c5_as_the_customers_line(case, customers)
    waited_in_vain = case.is_dialed_customer and not case.race.wins
    return verdict(Result.ANSWERED, "answered_no_agent" if waited_in_vain else "answered", "A2")


def l4_answered_too_late(case: Case) -> Verdict | None:
    if case.answered and any(case.end_ms >= win.at_ms - case.race.policy.same_moment_ms for win in case.rivals):
        return verdict(Result.LOSE_RACE, "answered_too_late", "L4")
    return None


def l5_cut_short(case: Case) -> Verdict | None:
    cut = case.cause in CUT_SHORT or (case.cause == "PROGRESS_TIMEOUT" and case.leg.rang_ms is not None)
    if not cut or case.ended_by in ("far_refused", "far_hung_up"):
        return None
    moments = [win.at_ms for win in case.rivals + case.picks] + [win.bridge_ms for win in case.rivals if win.bridge_ms is not None]
    policy = case.race.policy
    if any(at_ms - policy.same_moment_ms <= case.end_ms <= at_ms + policy.race_window_ms for at_ms in moments):
        return lost(case, "L5")
    return None


def f0_announced(case: Case) -> Verdict | None:
    for flag in ("no_balance", "bad_number"):
        if flag in case.leg.flags:
            return verdict(Result.FAILED, flag, "F0")
    return None


def b1_blocked(case: Case) -> Verdict | None:
    return verdict(Result.BUSY, "blocked", "B1") if "blocked" in case.leg.flags else None


def n1_not_confirmed(case: Case) -> Verdict | None:
    return timeout(case, "not_confirmed", "N1") if case.answered and case.cause in TIMER else None


def n3_answered_but_failed(case: Case) -> Verdict | None:
    if case.answered and case.result_class is Result.FAILED:
        return verdict(Result.FAILED, CAUSE[case.cause].reason, "N3")
    return None


def n2_not_connected(case: Case) -> Verdict | None:
    if not case.answered:
        return None
    return verdict(Result.CANCEL, "caller_left_at_answer" if case.cause == "ORIGINATOR_CANCEL" else "not_connected", "N2")


def a4_presumed_answered(case: Case) -> Verdict | None:
    leg = case.leg
    silent = "answers" in leg.silences and not leg.flags and not leg.visits and leg.exit_hint is None and case.race.size == 1
    if silent and case.cause == "NORMAL_CLEARING" and case.ended_by != "far_refused":
        return verdict(Result.ANSWERED, "presumed_answered", "A4", needs_review=True)
    return None


def t1_ring_limit(case: Case) -> Verdict | None:
    leg = case.leg
    if case.race.context != "autodialer" or leg.ring_limit_ms is None or leg.offered_ms is None or case.ended_by != "platform":
        return None
    lasted_ms = case.end_ms - leg.offered_ms
    if lasted_ms < leg.ring_limit_ms - case.race.policy.ring_limit_tolerance_ms or case.cause == "RECOVERY_ON_TIMER_EXPIRE":
        return None
    return verdict(Result.TIMEOUT, "dialer_ring_limit" if case.role == "customer" else "ring_timeout", "T1")


def s1_sip_status(case: Case) -> Verdict | None:
    status = case.sip_status
    if case.ended_by != "far_refused" or status is None:
        return None
    if case.cause not in GENERIC and (case.cause in CAUSE or status not in SIP):
        return None
    decided = sip_verdict(status)
    if decided is None:
        return None
    result, reason = decided
    return timeout(case, reason, "S1") if result is Result.TIMEOUT else verdict(result, reason, "S1")


def b1_declined(case: Case) -> Verdict | None:
    if case.cause == "CALL_REJECTED" and case.sip_status in (603, 607):
        return verdict(Result.BUSY, "declined" if case.sip_status == 603 else "blocked", "B1")
    return None


def x2_word_forgotten(case: Case) -> Verdict | None:
    if case.cause not in NO_CAUSE:
        return None
    tolerance = case.race.policy.same_moment_ms
    ends = (at_ms for leg_id, at_ms in case.race.caller_ends.items() if leg_id != case.leg.leg_id)
    if any(abs(case.end_ms - at_ms) <= tolerance for at_ms in ends):
        return verdict(Result.CANCEL, "caller_cancelled", "X2")
    return None


def u1_unknown(case: Case) -> Verdict | None:
    return verdict(Result.FAILED, "unknown_cause", "U1", needs_review=True) if case.result_class is None else None


def b2_busy(case: Case) -> Verdict | None:
    if case.result_class is not Result.BUSY:
        return None
    reason = CAUSE[case.cause].reason
    heard = reason == "busy" and case.ended_by == "platform" and case.role != "caller"
    return verdict(Result.BUSY, "busy_detected" if heard else reason, "B2")


def t2_timer(case: Case) -> Verdict | None:
    if case.result_class is not Result.TIMEOUT:
        return None
    reason = CAUSE[case.cause].reason
    if reason == "ring_timeout":
        if case.role != "caller" and case.leg.rang_ms is None and "ringing" not in case.leg.silences:
            reason = "never_rang"
        elif case.is_dialed_customer and case.ended_by != "far_refused":
            reason = "dialer_ring_limit"
    return timeout(case, reason, "T2")


def x2_cancelled(case: Case) -> Verdict | None:
    if case.result_class is not Result.CANCEL:
        return None
    return verdict(Result.CANCEL, _cancel_reason(case), "X2")


def _cancel_reason(case: Case) -> str:
    if case.ended_by == "far_refused" and case.cause == "ORIGINATOR_CANCEL":
        return "far_end_cancelled"
    if case.ended_by == "platform" and case.cause in ("ORIGINATOR_CANCEL", "NORMAL_CLEARING"):
        if case.is_dialed_customer and case.leg.ring_limit_ms is None:
            return "dialer_cancelled"
        if case.role == "agent" and (stay := stay_of(case.leg, case.race.legs)) and stay.visit.exit not in (None, "abandoned"):
            return str(stay.visit.exit)
    return CAUSE[case.cause].reason


def f1_failed(case: Case) -> Verdict | None:
    return verdict(Result.FAILED, failed_reason(case), "F1") if case.result_class is Result.FAILED else None


def failed_reason(case: Case) -> str:
    """Return the reason of a cause of class Failed."""
    return "no_balance" if case.cause == "CALL_REJECTED" and case.sip_status == 402 else CAUSE[case.cause].reason


def c5_as_the_customers_line(case: Case, dialed: list[Leg]) -> Verdict | None:
    """Judge as the last of these legs that ended, or as the strongest of those that overlapped it in time."""
    ended = [leg for leg in dialed if leg.end is not None]
    if not ended:
        return None
    last = max(ended, key=lambda leg: (leg.ended_ms, leg.leg_id))
    judged = [(leg, found) for leg in ended if (leg is last or _overlap(leg, last)) and (found := case.others(leg.leg_id)) is not None]
    if not judged:
        return None
    _, strongest = max(judged, key=lambda row: (-STRENGTH[row[1].result], row[0].ended_ms, row[0].leg_id))
    reason = "agent_gave_up" if strongest.result is Result.CANCEL else strongest.reason
    return verdict(strongest.result, reason, "C5", needs_review=strongest.needs_review)


def _overlap(leg: Leg, last: Leg) -> bool:
    starts_ms, ends_ms = _span(leg)
    last_starts_ms, last_ends_ms = _span(last)
    return starts_ms < last_ends_ms and last_starts_ms < ends_ms


def _span(leg: Leg) -> tuple[int, int]:
    assert leg.end is not None  # only ended legs are compared
    return (leg.end.at_ms if leg.offered_ms is None else leg.offered_ms), leg.end.at_ms


STRENGTH: dict[Result, int] = {
    result: strength
    for strength, result in enumerate((Result.ANSWERED, Result.TIMEOUT, Result.BUSY, Result.CANCEL, Result.LOSE_RACE, Result.FAILED))
}
"""Of several results the least of these counts (verdicts, section 4)."""
