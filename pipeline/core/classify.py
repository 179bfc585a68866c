"""The rule table: first match decides. Verdicts, section 2, row by row; `callverdict rules` prints it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from pipeline.core import callers, rules
from pipeline.core.case import Case, other_offers, verdict
from pipeline.core.leg import Leg
from pipeline.core.model import Result, Verdict
from pipeline.core.race import Race
from pipeline.core.rules import STRENGTH

Who = Literal["any", "offered", "caller"]
Decide = Callable[[Case], Verdict | None]


class Rule:
    """One row. `decide` gives the verdict, or None where the condition does not hold."""

    __slots__ = ("condition", "decide", "result", "rule", "who", "why")

    def __init__(self, rule: str, who: Who, decide: Decide, condition: str, result: str, why: str) -> None:
        self.rule = rule
        self.who: Who = who
        self.decide = decide
        self.condition = condition
        self.result = result
        self.why = why


# rule, who, holds, condition, result, why
NO_VERDICT: tuple[tuple[str, Who, str, str, str], ...] = (
    ("P1", "any", "role pseudo", "no verdict", "no person behind it"),
    ("P2", "any", "no end, time to live not reached", "no verdict yet", "not ended"),
)


def _c5(case: Case) -> Verdict | None:
    return rules.c5_as_the_customers_line(case, other_offers(case)) if case.race.context == "manual_outbound" else None


def _c5b(case: Case) -> Verdict | None:
    """Judge the agent's own leg as if it were the customer's: the rows of offered legs from F0 on."""
    if case.race.context != "manual_outbound" or other_offers(case):
        return None
    for row in _OFFERED[_FROM_F0:]:
        found = row.decide(case)
        if found is not None:
            reason = "agent_gave_up" if found.result is Result.CANCEL else found.reason
            return verdict(found.result, reason, "C5b", needs_review=found.needs_review)
    return None


RULES: tuple[Rule, ...] = (
    Rule("M1", "any", rules.m1_connected_to_the_last, "no end, time to live reached, connected", "Answered no_end_event",
         "needs review; a late end corrects it"),
    Rule("M2", "any", rules.m2_never_ended, "no end, time to live reached", "Failed no_end_event", "needs review"),
    Rule("A1", "offered", rules.a1_connected, "connected", "Answered answered",
         "\"answered by the receiver\"; the cause only tells how the talk ended"),
    Rule("L0", "offered", rules.l0_winner_pending,
         "cause LOSE_RACE, ANSWERED_ELSEWHERE or NON_SELECTED_USER_CLEARING; linked or grouped; no rival, no pick; call not complete",
         "Lose-race winner_pending", "provisional: the loser's hangup always precedes the winner's bridge"),
    Rule("L1", "offered", rules.l1_lost, "cause of class Lose-race, or flag loser; and a rival or a pick",
         "Lose-race lost_race, picked_up_elsewhere", "\"Ring All\": the other agents, even if they answered too"),
    Rule("L2", "offered", rules.l2_winner_unknown,
         "cause LOSE_RACE, ANSWERED_ELSEWHERE or NON_SELECTED_USER_CLEARING, not customer; no link and the only leg of its call, "
         "or a link whose root was never seen and no win",
         "Lose-race winner_unknown", "the winner is where we cannot look"),
    Rule("L3", "offered", rules.l3_no_winner, "cause of class Lose-race", "Cancel no_winner", "nobody won, so nobody lost to a winner"),
    Rule("A2", "offered", rules.a2_root_answered,
         "answered and root; an agent root beside ended customer legs, none of them answered, goes by C5",
         "Answered answered, answered_no_agent", "its receiver answered; an agent's own leg tells what the customer did"),
    Rule("L4", "offered", rules.l4_answered_too_late, "answered, a rival, and ended after (or at) the rival's win",
         "Lose-race answered_too_late", "second answerer, parked unconnected (mod_callcenter)"),
    Rule("L5", "offered", rules.l5_cut_short,
         "cut-short cause, not ended by the far end, ended at a rival's win, its bridge, or a pick, or up to race_window_ms after",
         "Lose-race lost_race, picked_up_elsewhere", "losers that carry another cause: loopback, pick-up, Asterisk 16"),
    Rule("F0", "offered", rules.f0_announced, "flag no_balance or bad_number", "Failed, the flag",
         "\"when you run out of balance\"; the caller only heard an announcement"),
    Rule("B1", "offered", rules.b1_blocked, "flag blocked", "Busy blocked", "\"the customer has blocked your number\""),
    Rule("N1", "offered", rules.n1_not_confirmed, "answered, timer cause", "Timeout not_confirmed",
         "the limit ended it before a key was pressed (group_confirm)"),
    Rule("N3", "offered", rules.n3_answered_but_failed, "answered, cause of class Failed", "Failed by cause",
         "answered at SIP level; media or ACK never came"),
    Rule("N2", "offered", rules.n2_not_connected, "answered", "Cancel caller_left_at_answer, not_connected",
         "answer and caller's cancel crossed"),
    Rule("A4", "offered", rules.a4_presumed_answered,
         "answers cannot be reported, NORMAL_CLEARING, not far_refused, no flag, no visit, no queue exit, the only leg of its call",
         "Answered presumed_answered", "needs review; before an answer the cause would be another one"),
    Rule("T1", "offered", rules.t1_ring_limit,
         "autodialer, ring limit known, ended by platform, lasted to the limit, cause not RECOVERY_ON_TIMER_EXPIRE",
         "Timeout dialer_ring_limit, ring_timeout", "\"this threshold is reached\", whatever cause the dialer gave"),
    Rule("S1", "offered", rules.s1_sip_status,
         "far_refused, SIP status known, cause generic, or unknown with a status that the SIP table names", "by the SIP table",
         "a Reason header had hidden the status"),
    Rule("B1", "offered", rules.b1_declined, "CALL_REJECTED and SIP status 603 or 607", "Busy declined, blocked",
         "a person refused the call"),
    Rule("X2", "offered", rules.x2_word_forgotten, "no cause, unanswered, ended at a caller's end", "Cancel caller_cancelled",
         "the source forgot the word"),
    Rule("U1", "offered", rules.u1_unknown, "cause not in the table", "Failed unknown_cause", "needs review"),
    Rule("B2", "offered", rules.b2_busy, "cause of class Busy, whoever ended it", "Busy by cause, busy_detected",
         "\"gives you a busy signal\", also in-band"),
    Rule("T2", "offered", rules.t2_timer, "cause of class Timeout",
         "Timeout never_rang, dialer_ring_limit, ring_timeout, no_response", "a timer, in every context"),
    Rule("X2", "offered", rules.x2_cancelled, "cause of class Cancel", "Cancel by cause, by the queue's exit, dialer_cancelled",
         "\"canceled by the caller\""),
    Rule("F1", "offered", rules.f1_failed, "cause of class Failed", "Failed by cause, no_balance",
         "\"internet/network issues\", number, balance"),
    Rule("A3", "caller", callers.a3_reached, "caller; connected, or the call has a win", "Answered connected",
         "its receiver answered"),
    Rule("F0", "caller", rules.f0_announced, "caller; flag no_balance or bad_number", "Failed, the flag",
         "\"when you run out of balance\""),
    Rule("C1", "caller", callers.c1_after_hours,
         "caller; flag after_hours, or entered its first queue (else the call) outside the queue's working hours",
         "Cancel after_hours", "\"outside working hours\""),
    Rule("C5", "caller", _c5, "caller in manual_outbound, some offered leg ended",
         "the last ended offered leg's, the strongest of those that overlapped it; agent_gave_up if Cancel",
         "the agent's own leg tells what the customer did"),
    Rule("C5b", "caller", _c5b, "caller in manual_outbound, nothing offered is known", "as an offered leg with this end, from F0 on",
         "A-leg records only"),
    Rule("C2", "caller", callers.c2_left_the_queue, "caller; queue exit known", "Cancel, the exit's word",
         "leaving the queue is giving up, also by queue limit"),
    Rule("A4", "caller", rules.a4_presumed_answered,
         "caller; answers cannot be reported, NORMAL_CLEARING, not far_refused, no flag, no visit, no queue exit, the only leg of its call",
         "Answered presumed_answered", "needs review; before an answer the cause would be another one"),
    Rule("C3", "caller", callers.c3_abandoned, "caller; far_hung_up or cause ORIGINATOR_CANCEL", "Cancel abandoned",
         "\"abandoned calls\""),
    Rule("C4", "caller", callers.c4_voicemail, "caller; flag voicemail, or bridged to a machine", "Cancel voicemail",
         "a mailbox is not the receiver"),
    Rule("C7b", "caller", callers.c7b_own_line_died,
         "caller; not far_hung_up, own cause of class Failed, some leg offered, none ended with that cause", "Failed by cause",
         "its own line died"),
    Rule("C6", "caller", callers.c6_all_alike, "caller; all ended offered legs are Failed, or (inbound_direct) all are Busy",
         "that one, all_offers_alike", "nobody could be reached at all"),
    Rule("C7", "caller", callers.c7_nothing_offered, "caller; nothing was offered, its own cause gives Failed", "Failed by cause",
         "no route, bad gateway"),
    Rule("C8", "caller", callers.c8_not_answered, "caller, otherwise", "Cancel not_answered", "the caller waited in vain"),
)  # fmt: skip

_OFFERED = tuple(row for row in RULES if row.who in ("any", "offered"))
_CALLER = tuple(row for row in RULES if row.who in ("any", "caller"))
_FROM_F0 = next(index for index, row in enumerate(_OFFERED) if row.rule == "F0")


def case_of(leg: Leg, race: Race, *, complete: bool, now_ms: int) -> Case:
    """Return what the rules ask of one leg of a call at a stream time."""

    def others(leg_id: str) -> Verdict | None:
        return judge(race.legs[leg_id], race, complete=complete, now_ms=now_ms)

    return Case(leg, race, complete=complete, now_ms=now_ms, others=others)


def judge(leg: Leg, race: Race, *, complete: bool, now_ms: int) -> Verdict | None:
    """Return the verdict of one leg, or None while it has none (pseudo, a fragment, or not ended)."""
    if not leg.is_real or rules.is_pseudo(leg, race) or rules.is_open_leg(leg, race, now_ms):
        return None
    case = case_of(leg, race, complete=complete, now_ms=now_ms)
    for row in _CALLER if case.role == "caller" else _OFFERED:
        found = row.decide(case)
        if found is not None:
            return found
    raise AssertionError(f"no rule for leg {leg.leg_id}: the table is not total")


def considered(leg: Leg, race: Race, *, complete: bool, now_ms: int) -> Iterator[tuple[Rule, Verdict | None]]:
    """Yield every row that applies to this leg in order, with what it would say: the first that speaks decides."""
    case = case_of(leg, race, complete=complete, now_ms=now_ms)
    for row in _CALLER if case.role == "caller" else _OFFERED:
        yield row, row.decide(case)


class CallRule(NamedTuple):
    """Which legs speak for a call: one row of the table that `judge_call` follows."""

    rule: str
    condition: str
    result: str


CALL_RULES = (
    CallRule("K1", "there is a caller's leg", "that of the root caller, else of the earliest caller"),
    CallRule("K2", "no caller; an autodialer's root customer, or one root that was not answered, or nothing but roots",
             "that root's, of several the strongest"),
    CallRule("K3", "otherwise: click-to-call, an agent-first dialer, a root that is not known",
             "the strongest of the customers' legs, without any of the offered legs other than roots"),
)  # fmt: skip


class CallVerdict:
    """The result of a call: whose verdict it is, and by which row."""

    __slots__ = ("leg_id", "rule", "verdict")

    def __init__(self, rule: str, leg_id: str, verdict: Verdict) -> None:
        self.rule = rule
        self.leg_id = leg_id
        self.verdict = verdict


def judge_call(race: Race, verdicts: dict[str, Verdict]) -> CallVerdict | None:
    """Return the call's result (verdicts, section 4), or None while the leg that speaks for it has none."""
    roles = race.roles
    calling = [leg for leg_id, leg in race.legs.items() if roles[leg_id] == "caller" and leg.is_real]
    if calling:
        speaker = min(calling, key=lambda leg: (leg.leg_id not in race.roots, leg.offered_ms or 0, leg.leg_id))
        found = verdicts.get(speaker.leg_id)
        return None if found is None else CallVerdict("K1", speaker.leg_id, found)
    real = [leg_id for leg_id, leg in race.legs.items() if leg.is_real and roles[leg_id] != "pseudo"]
    roots = [leg_id for leg_id in real if leg_id in race.roots]
    dialed = [leg_id for leg_id in roots if roles[leg_id] == "customer"] if race.context == "autodialer" else []
    if dialed:
        return _strongest("K2", dialed, verdicts)
    if roots and (len(roots) == len(real) or (len(roots) == 1 and _is_not_answered(roots[0], verdicts))):
        return _strongest("K2", roots, verdicts)
    customers = [leg_id for leg_id in real if roles[leg_id] == "customer"]
    return _strongest("K3", customers or [leg_id for leg_id in real if leg_id not in race.roots], verdicts)


def _is_not_answered(leg_id: str, verdicts: dict[str, Verdict]) -> bool:
    """Tell whether a root speaks for its call: also while it has no verdict, then the call has none either."""
    return leg_id not in verdicts or verdicts[leg_id].result is not Result.ANSWERED


def _strongest(rule: str, leg_ids: list[str], verdicts: dict[str, Verdict]) -> CallVerdict | None:
    judged = [leg_id for leg_id in leg_ids if leg_id in verdicts]
    if not judged:
        return None
    best = min(judged, key=lambda leg_id: (STRENGTH[verdicts[leg_id].result], leg_id))
    return CallVerdict(rule, best, verdicts[best])
