"""Section 2 of the verdicts for legs that were never answered: what the end itself says, when nothing else decided."""

from __future__ import annotations

from pipeline.core.model import Result
from tests.support.oracle import causes
from tests.support.oracle.facts import Leg
from tests.support.oracle.scene import OFFERED, Scene, cause_of, visit_of

Answer = tuple[Result, str] | tuple[Result, str, bool] | None


def t1(scene: Scene, leg: Leg) -> Answer:
    if scene.context != "autodialer" or leg.ring_limit_ms is None or leg.ended_by != "platform":
        return None
    assert leg.ended_ms is not None
    assert leg.offered_ms is not None
    reached = leg.ended_ms - leg.offered_ms >= leg.ring_limit_ms - scene.policy.ring_limit_tolerance_ms
    if not reached or cause_of(scene, leg) == "RECOVERY_ON_TIMER_EXPIRE":
        return None
    return Result.TIMEOUT, "dialer_ring_limit" if scene.role(leg) == "customer" else "ring_timeout"


def s1(scene: Scene, leg: Leg) -> Answer:
    if leg.ended_by != "far_refused" or leg.sip_status is None:
        return None
    cause = cause_of(scene, leg)
    if cause in causes.GENERIC:
        return causes.by_sip_status(leg.sip_status)
    return causes.SIP_NAMED.get(leg.sip_status) if cause not in causes.CAUSES else None


def b1_status(scene: Scene, leg: Leg) -> Answer:
    if cause_of(scene, leg) != "CALL_REJECTED" or leg.sip_status not in {603, 607}:
        return None
    return Result.BUSY, "declined" if leg.sip_status == 603 else "blocked"


def x2_no_word(scene: Scene, leg: Leg) -> Answer:
    ends = [caller.ended_ms for caller in scene.callers if caller is not leg and caller.ended_ms is not None]
    near = leg.ended_ms is not None and any(abs(leg.ended_ms - ended_ms) <= scene.policy.same_moment_ms for ended_ms in ends)
    return (Result.CANCEL, "caller_cancelled") if near and cause_of(scene, leg) in causes.NO_CAUSE else None


def u1(scene: Scene, leg: Leg) -> Answer:
    return (Result.FAILED, "unknown_cause", True) if causes.class_of(cause_of(scene, leg)) is None else None


def reason_of(scene: Scene, leg: Leg) -> str:
    """The reason of section 3.1; only for a cause that is in it."""
    return causes.CAUSES[cause_of(scene, leg) or "NONE"][1]


def b2(scene: Scene, leg: Leg) -> Answer:
    if causes.class_of(cause_of(scene, leg)) != Result.BUSY:
        return None
    reason = reason_of(scene, leg)
    # A caller's own leg (C5b) is always ended by the platform and then carries a copy of the line's cause: nothing was detected on it.
    detected = reason == "busy" and leg.ended_by == "platform" and scene.role(leg) in OFFERED
    return Result.BUSY, "busy_detected" if detected else reason


def t2(scene: Scene, leg: Leg) -> Answer:
    return (Result.TIMEOUT, _timeout_reason(scene, leg)) if causes.class_of(cause_of(scene, leg)) == Result.TIMEOUT else None


def _timeout_reason(scene: Scene, leg: Leg) -> str:
    role = scene.role(leg)
    if reason_of(scene, leg) == "no_response":
        return "no_response"
    if role in OFFERED and leg.rang_ms is None and "ringing" not in leg.cannot_report:
        return "never_rang"
    dialed = scene.context == "autodialer" and role == "customer" and leg.ended_by != "far_refused"
    return "dialer_ring_limit" if dialed else "ring_timeout"


def x2(scene: Scene, leg: Leg) -> Answer:
    return (Result.CANCEL, _cancel_reason(scene, leg)) if causes.class_of(cause_of(scene, leg)) == Result.CANCEL else None


def _cancel_reason(scene: Scene, leg: Leg) -> str:
    cause = cause_of(scene, leg)
    if cause == "ORIGINATOR_CANCEL" and leg.ended_by == "far_refused":
        return "far_end_cancelled"
    if leg.ended_by == "platform" and cause in {"ORIGINATOR_CANCEL", "NORMAL_CLEARING"}:
        return _platform_reason(scene, leg) or reason_of(scene, leg)
    return reason_of(scene, leg)


def _platform_reason(scene: Scene, leg: Leg) -> str | None:
    role = scene.role(leg)
    if scene.context == "autodialer" and role == "customer" and leg.ring_limit_ms is None:
        return "dialer_cancelled"
    visit = visit_of(scene, leg) if role == "agent" else None
    return visit.exit if visit and visit.exit != "abandoned" else None


def f1(scene: Scene, leg: Leg) -> Answer:
    cause = cause_of(scene, leg)
    if causes.class_of(cause) != Result.FAILED:
        return None
    return Result.FAILED, "no_balance" if cause == "CALL_REJECTED" and leg.sip_status == 402 else reason_of(scene, leg)
