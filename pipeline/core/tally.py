"""Tallies: a sum of contributions (verdicts, section 7).

A call is a set of units: one for each offered leg, one for each queue visit (without a visit: one for the call). A unit stands
in one column of one window of one queue. When a unit changes, its old contribution is subtracted and its new one added: a
correction, a late fact and a leg that moves away are the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.core.leg import Leg
from pipeline.core.measures import caller_queue, first_offer, queue_of, ring_ms, started_ms, talk_ms, wait_ms
from pipeline.core.model import Counts, Policy, Result, Verdict
from pipeline.core.race import Race, Stay, offers, stay_at, stay_of, stays
from pipeline.core.stored import Unit
from pipeline.core.window import window_of

NO_QUEUE = "(none)"
COLUMNS: tuple[str, ...] = Counts.__struct_fields__
_COLUMN = {name: index for index, name in enumerate(COLUMNS)}
_WORDS = {
    Result.ANSWERED: "answered", Result.LOSE_RACE: "lose_race", Result.BUSY: "busy", Result.CANCEL: "cancel",
    Result.FAILED: "failed", Result.TIMEOUT: "timeout", None: "pending",
}  # fmt: skip
_LEG_COLUMN = {result: _COLUMN[f"legs_{word}"] for result, word in _WORDS.items()}
_CALL_COLUMN = {result: _COLUMN[f"calls_{word}"] for result, word in _WORDS.items()}
_LEGS, _RING, _TALK = _COLUMN["legs_offered"], _COLUMN["legs_ring_ms"], _COLUMN["legs_talk_ms"]
_CALLS, _WAIT = _COLUMN["calls_offered"], _COLUMN["calls_wait_ms"]


Units = Mapping[str, Unit]


def units_of(race: Race, verdicts: Mapping[str, Verdict], call_result: Result | None) -> dict[str, Unit]:
    """Return everything that a call counts for, by an id that stays with the thing counted."""
    units = {leg.leg_id: _leg_unit(leg, race, verdicts.get(leg.leg_id)) for leg in offers(race)}
    made = _visits_made(race) if race.has_visits else []
    if made:
        won = _visits_won(race)
        for stay in made:
            visit = (stay.leg.leg_id, stay.visit_id)
            units["\0".join(visit)] = _visit_unit(stay, won.get(visit), verdicts)
    else:
        units |= _call_unit(race, call_result)
    return units


def _visits_made(race: Race) -> list[Stay]:
    return [stay for stay in stays(race.legs.values()) if stay.leg.is_real and race.roles[stay.leg.leg_id] != "pseudo"]


def _leg_unit(leg: Leg, race: Race, verdict: Verdict | None) -> Unit:
    counts = [(_LEGS, 1), (_LEG_COLUMN[verdict.result if verdict is not None else None], 1)]
    rang_ms, talked_ms = ring_ms(leg), talk_ms(leg, race)
    if rang_ms:
        counts.append((_RING, rang_ms))
    if talked_ms:
        counts.append((_TALK, talked_ms))
    return Unit(queue_of(leg, race) or NO_QUEUE, leg.offered_ms or 0, tuple(counts))


def _visits_won(race: Race) -> dict[tuple[str, str], int]:
    """Return (caller's leg, visit) -> the earliest win in it: by a leg offered during it, or by a pick-up of its caller."""
    won: dict[tuple[str, str], int] = {}
    for win in race.wins:
        leg = race.legs[win.leg_id]
        stay = stay_at(win.at_ms, [leg]) if race.roles[win.leg_id] == "caller" else stay_of(leg, race.legs)
        if stay is not None:
            won.setdefault((stay.leg.leg_id, stay.visit_id), win.at_ms)
    return won


def _visit_unit(stay: Stay, won_ms: int | None, verdicts: Mapping[str, Verdict]) -> Unit:
    left_ms = stay.visit.left_ms if stay.visit.left_ms is not None else stay.leg.ended_ms
    over_ms = won_ms if won_ms is not None else left_ms
    result = None
    if won_ms is not None:
        result = Result.ANSWERED
    elif over_ms is not None or stay.leg.leg_id in verdicts:
        result = Result.CANCEL
    waited_ms = max(0, over_ms - stay.joined_ms) if over_ms is not None else 0
    return Unit(stay.visit.queue or NO_QUEUE, stay.joined_ms, _call_counts(result, waited_ms))


def _call_counts(result: Result | None, waited_ms: int) -> tuple[tuple[int, int], ...]:
    counts = ((_CALLS, 1), (_CALL_COLUMN[result], 1))
    return (*counts, (_WAIT, waited_ms)) if waited_ms and result is not None else counts


def _call_unit(race: Race, result: Result | None) -> dict[str, Unit]:
    at_ms = started_ms(race)
    if at_ms is None:
        return {}
    first = first_offer(race)
    queue = (queue_of(first, race) if first is not None else None) or caller_queue(race) or NO_QUEUE
    return {"\0": Unit(queue, at_ms, _call_counts(result, wait_ms(race) or 0))}


SlotKey = tuple[str, str, int, int]
"""(tenant, queue, window size ms, window start ms)"""
_PENDING = (_LEG_COLUMN[None], _CALL_COLUMN[None])


def is_pending(counts: list[int]) -> bool:
    """Tell whether something in these counts has no result yet."""
    return any(counts[column] for column in _PENDING)


def final_ms(key: SlotKey, policy: Policy) -> int:
    """Return the stream time at which a window can become final: its end plus grace."""
    return key[3] + key[2] + policy.grace_ms


def gone_ms(key: SlotKey, policy: Policy) -> int:
    """Return the stream time from which a change to a window comes too late."""
    return final_ms(key, policy) + policy.tally_retention_ms


def changed_counts(before: Units, after: Units, sizes_ms: tuple[int, ...]) -> dict[tuple[str, int, int], list[int]]:
    """Return (queue, size, start) -> by how much each column changes when one set of units takes the place of another."""
    changes: dict[tuple[str, int, int], list[int]] = {}
    for unit, sign in _replaced(before, after):
        for size_ms in sizes_ms:
            key = (unit.queue, size_ms, window_of(unit.at_ms, size_ms=size_ms).start_ms)
            change = changes.get(key)
            if change is None:
                change = changes[key] = [0] * len(COLUMNS)
            for column, count in unit.counts:
                change[column] += sign * count
    return {key: change for key, change in changes.items() if any(change)}


def _replaced(before: Units, after: Units) -> Iterator[tuple[Unit, int]]:
    for unit_id, unit in before.items():
        if after.get(unit_id) != unit:
            yield unit, -1
    for unit_id, unit in after.items():
        if before.get(unit_id) != unit:
            yield unit, +1
