"""Tallies: a sum of contributions (docs/tallies.md).

A unit adds to windows of its queue and of its agent, in two attributions. When it changes, what it added is subtracted and what it adds
now is added: a correction, a late fact and a leg that moves away are the same thing. The sums go out as deltas of base windows, the
pieces that windows of every size and time zone are made of.

Beside the columns a sum has OPEN, `leg_reasons:...`, `call_reasons:...`, bands (`answered_le:5`: after more than the band before) and
buckets (`waits:...`, `rings:<result>:...`, `race_legs:...`).
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

from pipeline.core.model import BANDS_S, Attribution, ChangeReason, Policy
from pipeline.core.sketch import greatest
from pipeline.core.stored import CallUnit, Cause, Kind, LegUnit, Sum
from pipeline.core.window import base_ms

OPEN = "open"
"""How many units of a window may still change by what is to be expected."""
AGENT_SIZE_MS = 900_000
"""Agents have no windows smaller than this."""
EXPIRED = frozenset({"M1", "M2"})
_BANDS_MS = tuple(seconds * 1000 for seconds in BANDS_S)

DeltaKey = tuple[str, Kind, str, Attribution, int]
"""(tenant, kind, the queue's or agent's name, attribution, start of the base window ms)"""


class Delta:
    """By how much one base window changed since the last drain, and in how many steps."""

    __slots__ = ("causes", "counts", "steps")

    def __init__(self) -> None:
        self.steps = 0
        self.counts: Sum = {}
        self.causes: list[Cause] = []


Deltas = dict[DeltaKey, Delta]
Piece = tuple[Attribution, int, Sum, Sum]
"""(attribution, when, what is added, buckets that only queues have)"""


def sizes_of(kind: Kind, policy: Policy) -> tuple[int, ...]:
    """Return the sizes of the windows that queues or agents have."""
    return _sizes_of(kind, policy.window_sizes_ms)


@lru_cache(maxsize=64)
def _sizes_of(kind: Kind, sizes_ms: tuple[int, ...]) -> tuple[int, ...]:
    return sizes_ms if kind == "queue" else tuple(size for size in sizes_ms if size >= AGENT_SIZE_MS)


@lru_cache(maxsize=64)
def _bases(sizes_ms: tuple[int, ...]) -> dict[Kind, int]:
    kinds: tuple[Kind, ...] = ("queue", "agent")
    return {kind: base_ms(sizes) for kind in kinds if (sizes := _sizes_of(kind, sizes_ms))}


def pieces_of_leg(unit: LegUnit) -> list[Piece]:
    """Return what an offered leg adds to windows of its queue, and of its agent."""
    won: Sum = {}
    race: Sum = {}
    if unit.race_ms is not None:
        won, race = {"races": 1, "race_legs": unit.race_legs}, {f"race_legs:{unit.race_legs}": 1}
    state: Sum = {} if unit.closed else {OPEN: 1}
    if unit.word is None:
        offered = {"legs_offered": 1, "legs_pending": 1}
        pieces: list[Piece] = [("cohort", unit.offered_ms, offered | won | state, race), ("activity", unit.offered_ms, offered, {})]
    else:
        outcome = _outcome_of_leg(unit)
        talked: Sum = {"legs_talk_ms": unit.talk_ms} if unit.talk_ms else {}
        rings: Sum = {} if unit.ring_ms is None else {f"rings:{unit.word}:{greatest(unit.ring_ms)}": 1}
        pieces = [
            ("cohort", unit.offered_ms, {"legs_offered": 1} | outcome | won | talked | state, rings | race),
            ("activity", unit.offered_ms, {"legs_offered": 1, "legs_pending": 1}, {}),
            ("activity", unit.over_ms, {"legs_pending": -1} | outcome, rings),
        ]
        if talked:
            pieces.append(("activity", unit.ended_ms, talked, {}))
    if unit.race_ms is not None:
        pieces.append(("activity", unit.race_ms, won, race))
    return pieces


def _outcome_of_leg(unit: LegUnit) -> Sum:
    counts = {f"legs_{unit.word}": 1, f"leg_reasons:{unit.reason}": 1}
    if unit.word == "lose_race":
        if unit.rang:
            counts["legs_rang_lost"] = 1
        if unit.margin_ms:
            counts["race_margin_ms"] = unit.margin_ms
    if unit.rang is False and unit.word != "answered":
        counts["legs_never_rang"] = 1
    if unit.ring_ms:
        counts["legs_ring_ms"] = counts[f"legs_ring_{unit.word}_ms"] = unit.ring_ms
    return counts


def pieces_of_call(unit: CallUnit) -> list[Piece]:
    """Return what a visit or call adds to windows of its queue."""
    state: Sum = {} if unit.closed else {OPEN: 1}
    offered = {"calls_offered": 1, "calls_pending": 1}
    if unit.outcome is None:
        return [("cohort", unit.offered_ms, offered | state, {}), ("activity", unit.offered_ms, offered, {})]
    outcome, buckets = _outcome_of_call(unit)
    return [
        ("cohort", unit.offered_ms, {"calls_offered": 1} | outcome | state, buckets),
        ("activity", unit.offered_ms, offered, {}),
        ("activity", unit.over_ms, {"calls_pending": -1} | outcome, buckets),
    ]


def _outcome_of_call(unit: CallUnit) -> tuple[Sum, Sum]:
    counts, buckets = {f"calls_{unit.outcome}": 1, f"call_reasons:{unit.reason}": 1}, {}
    if unit.short:
        counts["calls_short_abandoned"] = 1
    waited_ms = unit.wait_ms
    if waited_ms:
        counts["calls_wait_ms"] = waited_ms
    if waited_ms is not None and unit.outcome in ("answered", "abandoned"):
        if waited_ms:
            counts[f"calls_{unit.outcome}_wait_ms"] = waited_ms
        buckets[f"waits:{greatest(waited_ms)}"] = 1
        band = bisect_left(_BANDS_MS, waited_ms)
        if band < len(BANDS_S):
            counts[f"{unit.outcome}_le:{BANDS_S[band]}"] = 1
    return counts, buckets


class Changes:
    """What one call's change does to base windows: collected, then added to the deltas. `now_ms`: stream time."""

    def __init__(self, tenant: str, call_id: str, policy: Policy, now_ms: int) -> None:
        self._tenant = tenant
        self._call_id = call_id
        self._policy = policy
        self._now_ms = now_ms
        self._bases = _bases(policy.window_sizes_ms)

    def add_leg(self, deltas: Deltas, leg_id: str, before: LegUnit | None, after: LegUnit | None, *, is_new_call: bool) -> None:
        """Let one state of a leg take the place of another."""
        sums: dict[DeltaKey, Sum] = {}
        for unit, sign in ((before, -1), (after, 1)):
            if unit is not None:
                pieces = pieces_of_leg(unit)
                self._collect(sums, "queue", unit.queue, pieces, sign)
                if unit.agent is not None and "agent" in self._bases:
                    self._collect(sums, "agent", unit.agent, pieces, sign)
        self._add(deltas, sums, _reason(before, after, is_new_call=is_new_call), leg_id, None if after is None else after.rule)

    def add_call(self, deltas: Deltas, before: CallUnit | None, after: CallUnit | None, *, is_new_call: bool) -> None:
        """Let one state of a visit or call take the place of another."""
        sums: dict[DeltaKey, Sum] = {}
        for unit, sign in ((before, -1), (after, 1)):
            if unit is not None:
                self._collect(sums, "queue", unit.queue, pieces_of_call(unit), sign)
        self._add(deltas, sums, _reason(before, after, is_new_call=is_new_call), None, None if after is None else after.rule)

    def _collect(self, sums: dict[DeltaKey, Sum], kind: Kind, name: str, pieces: list[Piece], sign: int) -> None:
        base = self._bases[kind]
        for attribution, at_ms, counts, buckets in pieces:
            key = (self._tenant, kind, name, attribution, at_ms - at_ms % base)
            total = sums.get(key)
            if total is None:
                total = sums[key] = {}
            for column, count in counts.items():
                total[column] = total.get(column, 0) + sign * count
            if kind == "queue":
                for bucket, count in buckets.items():
                    total[bucket] = total.get(bucket, 0) + sign * count

    def _add(self, deltas: Deltas, sums: dict[DeltaKey, Sum], reason: ChangeReason | None, leg_id: str | None, rule: str | None) -> None:
        for key, counts in sums.items():
            changed = {column: count for column, count in counts.items() if count}
            if not changed:
                continue
            delta = deltas.get(key)
            if delta is None:
                delta = deltas[key] = Delta()
            delta.steps += 1
            for column, count in changed.items():
                delta.counts[column] = delta.counts.get(column, 0) + count
            if reason is not None and self._now_ms >= key[4] + self._bases[key[1]] + self._policy.grace_ms:
                delta.causes.append(Cause(reason, self._call_id, leg_id, rule, self._now_ms, changed))


def _reason(before: LegUnit | CallUnit | None, after: LegUnit | CallUnit | None, *, is_new_call: bool) -> ChangeReason | None:
    """Return why a number changed; None if that was to be expected, since the unit was not closed."""
    if before is None:
        return "late_call" if is_new_call else "late_leg"
    if after is not None and after.rule in EXPIRED and not before.reason:
        return "expiry"
    return "correction" if before.closed or after is None else None
