"""What a call counts for: one unit for each offered leg, one for each queue visit, or for a call without (docs/tallies.md)."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.classify import CallVerdict
from pipeline.core.leg import Leg
from pipeline.core.measures import caller_queue, first_offer, queue_of, ring_ms, root_caller, started_ms, talk_ms, wait_ms
from pipeline.core.model import Result, Verdict
from pipeline.core.race import Race, Stay, offers, rivals, stay_at, stay_of, stays
from pipeline.core.stored import CallUnit, LegUnit

NO_QUEUE = "(none)"
WORDS = {
    Result.ANSWERED: "answered", Result.LOSE_RACE: "lose_race", Result.BUSY: "busy", Result.CANCEL: "cancel",
    Result.FAILED: "failed", Result.TIMEOUT: "timeout",
}  # fmt: skip
"""The results as they stand in names of columns."""
OUTCOMES = ("answered", "abandoned", "flow_out", "outside_working_hours", "busy", "timeout", "lose_race", "failed")
"""What becomes of a call in a queue."""
EXITS = frozenset({"queue_timeout", "queue_no_agents", "queue_exit_key"})
_FLOWS_OUT = EXITS | {"voicemail", "transferred_away"}


LegUnits = dict[str, LegUnit]
CallUnits = dict[str, CallUnit]
"""By an id that stays with the thing counted: leg and visit, or "" for the call."""


def leg_units(race: Race, verdicts: Mapping[str, Verdict], *, complete: bool) -> LegUnits:
    """Return the units of the offered legs."""
    return {leg.leg_id: _leg_unit(leg, race, verdicts.get(leg.leg_id), complete=complete) for leg in offers(race)}


def _leg_unit(leg: Leg, race: Race, verdict: Verdict | None, *, complete: bool) -> LegUnit:
    queue = queue_of(leg, race) or NO_QUEUE
    offered_ms = leg.offered_ms or 0
    race_ms = next((win.at_ms for win in race.wins if win.leg_id == leg.leg_id), None)
    race_legs = 0 if race_ms is None else _open_at(race_ms, race)
    if verdict is None:
        return LegUnit(queue, leg.agent, offered_ms, complete, race_ms, race_legs)
    result = verdict.result
    ended_ms = leg.last_ms if leg.end is None else leg.end.at_ms
    answered = result is Result.ANSWERED and leg.answered_ms is not None
    return LegUnit(
        queue,
        leg.agent,
        offered_ms,
        complete or leg.end is not None,
        race_ms,
        race_legs,
        WORDS[result],
        f"{result}.{verdict.reason}",
        verdict.rule,
        leg.answered_ms if answered and leg.answered_ms is not None else ended_ms,
        ended_ms,
        ring_ms(leg),
        talk_ms(leg, race) or 0,
        _has_rung(leg),
        _margin_ms(leg, race) if result is Result.LOSE_RACE else 0,
    )


def _has_rung(leg: Leg) -> bool | None:
    if leg.rang_ms is not None:
        return True
    return None if leg.answered_ms is not None or "ringing" in leg.silences else False


def _open_at(at_ms: int, race: Race) -> int:
    """Return how many offered legs were open at a win: offered by then, not answered or ended before it."""
    count = 0
    for leg in offers(race):
        until_ms = leg.answered_ms if leg.answered_ms is not None else leg.ended_ms
        count += (leg.offered_ms or 0) <= at_ms and (until_ms is None or until_ms >= at_ms)
    return count


def _margin_ms(leg: Leg, race: Race) -> int:
    if leg.end is None:
        return 0
    beaten_by = rivals(leg, race.wins, race.policy, own=False)
    return max(0, leg.end.at_ms - beaten_by[0].at_ms) if beaten_by else 0


def call_units(race: Race, verdicts: Mapping[str, Verdict], spoken: CallVerdict | None, *, complete: bool) -> CallUnits:
    """Return the units of the visits, or of the call where there is none."""
    made = (
        [stay for stay in stays(race.legs.values()) if stay.leg.is_real and race.roles[stay.leg.leg_id] != "pseudo"]
        if race.has_visits
        else []
    )
    if not made:
        unit = _call_unit(race, spoken, complete=complete)
        return {} if unit is None else {"": unit}
    won = _visits_won(race)
    units = {
        f"{stay.leg.leg_id}\0{stay.visit_id}": _visit_unit(
            stay, won.get((stay.leg.leg_id, stay.visit_id)), verdicts, race, complete=complete, is_last=stay is made[-1]
        )
        for stay in made
    }
    is_won = any(unit.outcome == "answered" for unit in units.values())  # a win in a visit that a loopback half made is in none of them
    if race.wins and not is_won and spoken is not None and spoken.verdict.result is Result.ANSWERED:
        units[""] = _answered_elsewhere(race, spoken.verdict, complete=complete)
    return units


def _visits_won(race: Race) -> dict[tuple[str, str], int]:
    """Return (caller's leg, visit) -> the earliest win in it: by a leg offered during it, or by a pick-up of its caller."""
    won: dict[tuple[str, str], int] = {}
    for win in race.wins:
        leg = race.legs[win.leg_id]
        stay = stay_at(win.at_ms, [leg]) if race.roles[win.leg_id] == "caller" else stay_of(leg, race.legs)
        if stay is not None:
            won.setdefault((stay.leg.leg_id, stay.visit_id), win.at_ms)
    return won


def _visit_unit(stay: Stay, won_ms: int | None, verdicts: Mapping[str, Verdict], race: Race, *, complete: bool, is_last: bool) -> CallUnit:
    leg, visit = stay.leg, stay.visit
    verdict = verdicts.get(leg.leg_id)
    queue = visit.queue or NO_QUEUE
    left_ms = visit.left_ms if visit.left_ms is not None else leg.ended_ms
    if won_ms is None and left_ms is None and verdict is None:
        return CallUnit(queue, stay.joined_ms, complete)
    over_ms = won_ms if won_ms is not None else left_ms
    waited_ms = None if over_ms is None else max(0, over_ms - stay.joined_ms)
    if won_ms is not None:
        outcome, reason = "answered", "connected"
    elif is_last and visit.exit not in EXITS:
        outcome, reason = _outcome_of_visit(verdict)
    else:
        outcome, reason = "flow_out", visit.exit if visit.exit in EXITS else "left"
    rule = None if verdict is None else verdict.rule
    return _settled(
        queue, stay.joined_ms, outcome, reason, rule, leg.last_ms if over_ms is None else over_ms, waited_ms, race, complete=complete
    )


def _outcome_of_visit(verdict: Verdict | None) -> tuple[str, str]:
    """The caller's verdict says what became of a visit that nobody won; if it was answered, it was elsewhere."""
    outcome = outcome_of(verdict)
    return ("flow_out", "left") if verdict is None or outcome in (None, "answered") else (outcome or "", verdict.reason)


def outcome_of(verdict: Verdict | None) -> str | None:
    """Return what became of a call in a queue by a verdict; None while it is pending."""
    if verdict is None:
        return None
    if verdict.result is not Result.CANCEL:
        return WORDS[verdict.result]
    if verdict.reason == "after_hours":
        return "outside_working_hours"
    return "flow_out" if verdict.reason in _FLOWS_OUT else "abandoned"


def _settled(
    queue: str,
    offered_ms: int,
    outcome: str,
    reason: str,
    rule: str | None,
    over_ms: int,
    waited_ms: int | None,
    race: Race,
    *,
    complete: bool,
) -> CallUnit:
    short = outcome == "abandoned" and waited_ms is not None and waited_ms <= race.policy.short_abandoned_ms
    return CallUnit(queue, offered_ms, complete, outcome, f"{outcome}.{reason}", rule, over_ms, waited_ms, short)


def _answered_elsewhere(race: Race, verdict: Verdict, *, complete: bool) -> CallUnit:
    win = race.wins[0]
    queue = queue_of(race.legs[win.leg_id], race)
    offered_ms = win.at_ms if race.roles[win.leg_id] == "caller" else win.offered_ms
    waited_ms = max(0, win.at_ms - offered_ms)
    return _settled(queue or NO_QUEUE, offered_ms, "answered", "connected", verdict.rule, win.at_ms, waited_ms, race, complete=complete)


def _call_unit(race: Race, spoken: CallVerdict | None, *, complete: bool) -> CallUnit | None:
    at_ms = started_ms(race)
    if at_ms is None:
        return None
    first = first_offer(race)
    queue = (queue_of(first, race) if first is not None else None) or caller_queue(race) or NO_QUEUE
    outcome = outcome_of(None if spoken is None else spoken.verdict)
    if spoken is None or outcome is None:
        return CallUnit(queue, at_ms, complete)
    verdict = spoken.verdict
    return _settled(queue, at_ms, outcome, verdict.reason, verdict.rule, _over_ms(race), wait_ms(race), race, complete=complete)


def _over_ms(race: Race) -> int:
    if race.wins:
        return race.wins[0].at_ms
    caller = root_caller(race)
    legs = [caller] if caller is not None else [leg for leg_id, leg in race.legs.items() if leg.is_real and race.roles[leg_id] != "pseudo"]
    return max(leg.last_ms if leg.end is None else leg.end.at_ms for leg in legs)
