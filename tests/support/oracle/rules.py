"""Section 2 of the verdicts for offered legs: an ordered table of small functions, the first that answers decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.core.model import Result, Verdict
from tests.support.oracle import causes
from tests.support.oracle.endings import Answer, b1_status, b2, f1, reason_of, s1, t1, t2, u1, x2, x2_no_word
from tests.support.oracle.facts import Leg
from tests.support.oracle.races import rival_picks, rivals
from tests.support.oracle.scene import Scene, cause_of, is_connected, is_expired, is_root

Rule = tuple[str, Callable[[Scene, Leg], Answer]]

NARROWED = frozenset({"N1", "S1", "T2"})  # with the switch timeout_only_in_autodialer


def apply(rules: Sequence[Rule], scene: Scene, leg: Leg) -> Verdict | None:
    """The first rule that answers, as a verdict; None if no rule does."""
    for name, rule in rules:
        answer = rule(scene, leg)
        if answer is not None:
            result, reason, *review = answer
            return Verdict(_narrowed(scene, name, result), reason, name, bool(review and review[0]))
    return None


def _narrowed(scene: Scene, name: str, result: Result) -> Result:
    narrow = scene.policy.timeout_only_in_autodialer and scene.context != "autodialer"
    return Result.CANCEL if narrow and result == Result.TIMEOUT and name in NARROWED else result


# -- no end yet


def m1(scene: Scene, leg: Leg) -> Answer:
    return (Result.ANSWERED, "no_end_event", True) if leg.end is None and is_expired(scene, leg) and is_connected(scene, leg) else None


def m2(scene: Scene, leg: Leg) -> Answer:
    return (Result.FAILED, "no_end_event", True) if leg.end is None and is_expired(scene, leg) else None


# -- answered, lost


def a1(scene: Scene, leg: Leg) -> Answer:
    return (Result.ANSWERED, "answered") if is_connected(scene, leg) else None


def _says_lost(scene: Scene, leg: Leg) -> bool:
    return cause_of(scene, leg) in causes.RACE_LOST


def _lost_reason(scene: Scene, leg: Leg) -> str:
    return "picked_up_elsewhere" if rival_picks(scene, leg) else "lost_race"


def l0(scene: Scene, leg: Leg) -> Answer:
    in_company = not is_root(scene, leg) or leg.group_id is not None
    undecided = not rivals(scene, leg) and not rival_picks(scene, leg) and not scene.is_complete
    return (Result.LOSE_RACE, "winner_pending") if _says_lost(scene, leg) and in_company and undecided else None


def l1(scene: Scene, leg: Leg) -> Answer:
    says_lost = _says_lost(scene, leg) or cause_of(scene, leg) == "PICKED_OFF" or "loser" in leg.flags
    beaten = bool(rivals(scene, leg) or rival_picks(scene, leg))
    return (Result.LOSE_RACE, _lost_reason(scene, leg)) if says_lost and beaten else None


def l2(scene: Scene, leg: Leg) -> Answer:
    alone = is_root(scene, leg) and len(scene.legs) == 1
    root_unseen = not is_root(scene, leg) and _root_of(scene, leg) in scene.group.unseen_roots and not scene.wins
    hidden = scene.role(leg) != "customer" and (alone or root_unseen)
    return (Result.LOSE_RACE, "winner_unknown") if _says_lost(scene, leg) and hidden else None


def _root_of(scene: Scene, leg: Leg) -> str:
    leg_id = leg.leg_id
    while leg_id in scene.group.parents:
        leg_id = scene.group.parents[leg_id]
    return leg_id


def l3(scene: Scene, leg: Leg) -> Answer:
    """The whole class stops here: a PICKED_OFF that was inherited from a loopback half may have no pick that passes the filter."""
    return (Result.CANCEL, "no_winner") if causes.class_of(cause_of(scene, leg)) == Result.LOSE_RACE else None


def a2(scene: Scene, leg: Leg) -> Answer:
    if leg.answered_ms is None or not is_root(scene, leg) or reached_no_customer(scene, leg):
        return None
    heard_nobody = scene.context == "autodialer" and scene.role(leg) == "customer" and not scene.wins
    return Result.ANSWERED, "answered_no_agent" if heard_nobody else "answered"


def reached_no_customer(scene: Scene, leg: Leg) -> bool:
    """An agent's root leg beside customer legs that ended, none of them answered: rule C5 speaks, not A2."""
    customers = [other for other in scene.legs if scene.role(other) == "customer" and other is not leg]
    agent_up = scene.role(leg) == "agent" and is_root(scene, leg) and leg.answered_ms is not None
    return agent_up and any(c.end for c in customers) and all(c.answered_ms is None for c in customers)


def l4(scene: Scene, leg: Leg) -> Answer:
    if leg.answered_ms is None or leg.ended_ms is None:
        return None
    stayed = any(leg.ended_ms >= win.at_ms - scene.policy.same_moment_ms for win in rivals(scene, leg))
    return (Result.LOSE_RACE, "answered_too_late") if stayed else None


def l5(scene: Scene, leg: Leg) -> Answer:
    moments = [at_ms for win in rivals(scene, leg) for at_ms in (win.at_ms, win.bridge_ms) if at_ms is not None]
    moments += [pick.at_ms for pick in rival_picks(scene, leg)]
    if not _is_cut_short(scene, leg) or leg.ended_ms is None or not any(_ended_at(scene, leg.ended_ms, at_ms) for at_ms in moments):
        return None
    return Result.LOSE_RACE, _lost_reason(scene, leg)


def _is_cut_short(scene: Scene, leg: Leg) -> bool:
    cause = cause_of(scene, leg)
    named = cause in causes.CUT_SHORT or (cause == "PROGRESS_TIMEOUT" and leg.rang_ms is not None)
    return named and leg.ended_by not in {"far_refused", "far_hung_up"}


def _ended_at(scene: Scene, ended_ms: int, moment_ms: int) -> bool:
    return moment_ms - scene.policy.same_moment_ms <= ended_ms <= moment_ms + scene.policy.race_window_ms


# -- flags, answered without a partner


def f0(_: Scene, leg: Leg) -> Answer:
    return next(((Result.FAILED, flag) for flag in ("no_balance", "bad_number") if flag in leg.flags), None)


def b1_flag(_: Scene, leg: Leg) -> Answer:
    return (Result.BUSY, "blocked") if "blocked" in leg.flags else None


def n1(scene: Scene, leg: Leg) -> Answer:
    timed_out = leg.answered_ms is not None and cause_of(scene, leg) in causes.TIMER
    return (Result.TIMEOUT, "not_confirmed") if timed_out else None


def n3(scene: Scene, leg: Leg) -> Answer:
    broke = leg.answered_ms is not None and causes.class_of(cause_of(scene, leg)) == Result.FAILED
    return (Result.FAILED, reason_of(scene, leg)) if broke else None


def n2(scene: Scene, leg: Leg) -> Answer:
    if leg.answered_ms is None:
        return None
    return Result.CANCEL, "caller_left_at_answer" if cause_of(scene, leg) == "ORIGINATOR_CANCEL" else "not_connected"


def a4(scene: Scene, leg: Leg) -> Answer:
    silent = "answers" in leg.cannot_report and cause_of(scene, leg) == "NORMAL_CLEARING" and leg.ended_by != "far_refused"
    plain = not leg.flags and not leg.visits and leg.exit_hint is None and len(scene.legs) == 1
    return (Result.ANSWERED, "presumed_answered", True) if silent and plain else None


FROM_F0: tuple[Rule, ...] = (
    ("F0", f0),
    ("B1", b1_flag),
    ("N1", n1),
    ("N3", n3),
    ("N2", n2),
    ("A4", a4),
    ("T1", t1),
    ("S1", s1),
    ("B1", b1_status),
    ("X2", x2_no_word),
    ("U1", u1),
    ("B2", b2),
    ("T2", t2),
    ("X2", x2),
    ("F1", f1),
)
WITHOUT_END: tuple[Rule, ...] = (("M1", m1), ("M2", m2))
LOST_OR_ANSWERED: tuple[Rule, ...] = (
    ("A1", a1), ("L0", l0), ("L1", l1), ("L2", l2), ("L3", l3), ("A2", a2),
)  # fmt: skip
AFTER_C5: tuple[Rule, ...] = (("L4", l4), ("L5", l5), *FROM_F0)
