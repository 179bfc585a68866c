"""What one call adds to the tallies of queues and agents, recounted from its facts (docs/tallies.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pipeline.core.model import Result, Verdict
from tests.support.oracle.calls import CallAnswer, Verdicts
from tests.support.oracle.facts import Leg
from tests.support.oracle.measures import queue_of, ring_ms, talk_ms
from tests.support.oracle.outcomes import NO_QUEUE, Stay, column_word, stays
from tests.support.oracle.races import rivals
from tests.support.oracle.scene import Scene
from tests.support.oracle.windows import window_of

BANDS_S = (5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 240, 300, 600)
LEAST_OF_AGENTS_MS = 900_000


class TallyKey(NamedTuple):
    tenant: str
    kind: Literal["queue", "agent"]
    name: str
    attribution: Literal["cohort", "activity"]
    size_ms: int
    start_ms: int


@dataclass(kw_only=True)
class Tally:
    """What a window counts: sums by the names of the columns (no column is 0), reasons, and the values that distributions are made of.

    `leg_reasons` by `Lose-race.lost_race`, `call_reasons` by `flow_out.queue_timeout`, `rings` by the columns' words (`lose_race`).
    """

    counts: dict[str, int] = field(default_factory=dict)
    leg_reasons: dict[str, int] = field(default_factory=dict)
    call_reasons: dict[str, int] = field(default_factory=dict)
    waits: list[int] = field(default_factory=list)
    rings: dict[str, list[int]] = field(default_factory=dict)
    races: list[int] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        _add(self.counts, other.counts)
        _add(self.leg_reasons, other.leg_reasons)
        _add(self.call_reasons, other.call_reasons)
        self.waits += other.waits
        self.races += other.races
        for word, values in other.rings.items():
            self.rings.setdefault(word, []).extend(values)


def _add(sums: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + value
        if sums[name] == 0:
            del sums[name]


class Happening(NamedTuple):
    """What happened to a unit at one moment, and what it adds there."""

    at_ms: int
    adds: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is counted once, an offered leg or a stay of a caller. Its first happening is its offer."""

    queue: str
    agent: str | None
    happenings: tuple[Happening, ...]


def count(scene: Scene, verdicts: Verdicts, call: CallAnswer, tallies: dict[TallyKey, Tally]) -> None:
    """Adds one call to the tallies: queues and agents, both attributions, every size of window."""
    legs = [_unit_of_leg(scene, leg, verdicts[leg.leg_id]) for leg in scene.offered]
    calls = [_unit_of_stay(stay, scene.policy.short_abandoned_ms) for stay in stays(scene, verdicts, call)]
    for unit in (*legs, *calls):
        for key, adds in _credits(scene, unit):
            tallies.setdefault(key, Tally()).add(adds)


def _credits(scene: Scene, unit: Unit) -> Iterable[tuple[TallyKey, Tally]]:
    policy, tenant = scene.policy, scene.group.tenant
    for size_ms in policy.window_sizes_ms:
        for happening in unit.happenings:
            moments: tuple[tuple[Literal["cohort", "activity"], int], ...] = (
                ("cohort", unit.happenings[0].at_ms),
                ("activity", happening.at_ms),
            )
            for attribution, at_ms in moments:
                zone = policy.zone_of.get(unit.queue, policy.zone)
                start_ms, _ = window_of(at_ms, size_ms, zone)
                yield TallyKey(tenant, "queue", unit.queue, attribution, size_ms, start_ms), happening.adds
                if unit.agent is not None and size_ms >= LEAST_OF_AGENTS_MS:
                    start_ms, _ = window_of(at_ms, size_ms, policy.zone)
                    yield TallyKey(tenant, "agent", unit.agent, attribution, size_ms, start_ms), happening.adds


# -- legs


def _unit_of_leg(scene: Scene, leg: Leg, verdict: Verdict | None) -> Unit:
    happenings = [Happening(leg.offered_ms or 0, Tally(counts={"legs_offered": 1, "legs_pending": 1}))]
    happenings += [Happening(win.at_ms, _race(scene, leg, win.at_ms)) for win in scene.wins if win.leg_id == leg.leg_id]
    if verdict is not None:
        ended_ms = leg.last_ms if leg.ended_ms is None else leg.ended_ms
        decided_ms = leg.answered_ms if verdict.result == Result.ANSWERED and leg.answered_ms is not None else ended_ms
        happenings.append(Happening(decided_ms, _result(scene, leg, verdict)))
        if talked_ms := talk_ms(scene, leg):
            happenings.append(Happening(ended_ms, Tally(counts={"legs_talk_ms": talked_ms})))
    return Unit(queue=queue_of(scene, leg) or NO_QUEUE, agent=leg.agent, happenings=tuple(happenings))


def _race(scene: Scene, leg: Leg, won_ms: int) -> Tally:
    width = 1 + sum(_is_open(other, won_ms) for other in scene.offered if other.leg_id != leg.leg_id)
    return Tally(counts={"races": 1, "race_legs": width}, races=[width])


def _is_open(leg: Leg, at_ms: int) -> bool:
    """Offered by then, and not answered before, nor (if it never was) ended."""
    until_ms = leg.ended_ms if leg.answered_ms is None else leg.answered_ms
    return leg.offered_ms is not None and leg.offered_ms <= at_ms and (until_ms is None or until_ms >= at_ms)


def _result(scene: Scene, leg: Leg, verdict: Verdict) -> Tally:
    word, rang = column_word(verdict.result), ring_ms(leg)
    counts = {
        "legs_pending": -1,
        f"legs_{word}": 1,
        "legs_rang_lost": int(verdict.result == Result.LOSE_RACE and leg.rang_ms is not None),
        "legs_never_rang": int(verdict.result != Result.ANSWERED and _never_rang(leg)),
        "legs_ring_ms": rang or 0,
        f"legs_ring_{word}_ms": rang or 0,
        "race_margin_ms": _margin_ms(scene, leg) if verdict.result == Result.LOSE_RACE else 0,
    }
    rings = {} if rang is None else {word: [rang]}
    return Tally(counts=counts, leg_reasons={f"{verdict.result.value}.{verdict.reason}": 1}, rings=rings)


def _never_rang(leg: Leg) -> bool:
    return leg.rang_ms is None and leg.answered_ms is None and "ringing" not in leg.cannot_report


def _margin_ms(scene: Scene, leg: Leg) -> int:
    raced = rivals(scene, leg)
    return max(0, leg.ended_ms - raced[0].at_ms) if raced and leg.ended_ms is not None else 0


# -- calls


def _unit_of_stay(stay: Stay, short_ms: int) -> Unit:
    happenings = [Happening(stay.offered_ms, Tally(counts={"calls_offered": 1, "calls_pending": 1}))]
    if stay.over_ms is not None:
        happenings.append(Happening(stay.over_ms, _over(stay, short_ms)))
    return Unit(queue=stay.queue, agent=None, happenings=tuple(happenings))


def _over(stay: Stay, short_ms: int) -> Tally:
    word = stay.outcome.word
    adds = Tally(counts={"calls_pending": -1, f"calls_{word}": 1}, call_reasons={f"{word}.{stay.outcome.reason}": 1})
    if stay.wait_ms is not None:
        adds.add(_wait(word, stay.wait_ms, short_ms))
    return adds


def _wait(word: str, wait_ms: int, short_ms: int) -> Tally:
    counts = {"calls_wait_ms": wait_ms}
    if word not in {"answered", "abandoned"}:
        return Tally(counts=counts)
    counts[f"calls_{word}_wait_ms"] = wait_ms
    counts |= {f"{word}_le_{band_s}_s": 1 for band_s in BANDS_S if wait_ms <= band_s * 1000}
    if word == "abandoned" and wait_ms <= short_ms:
        counts["calls_short_abandoned"] = 1
    return Tally(counts=counts, waits=[wait_ms])
