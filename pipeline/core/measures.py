"""How long and where: ring, talk, hold and wait times, and the queue that a leg counts for (verdicts, section 7)."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.leg import Leg
from pipeline.core.model import LATEST_MS
from pipeline.core.race import Race, offers, stay_of, stays


def ring_ms(leg: Leg) -> int | None:
    """Return the time from ringing (else the offer) to the answer (else the end), or None while it rings."""
    starts_ms = leg.offered_ms if leg.rang_ms is None or "ringing" in leg.silences else leg.rang_ms
    ends_ms = leg.answered_ms if leg.answered_ms is not None else leg.ended_ms
    return None if starts_ms is None or ends_ms is None else max(0, ends_ms - starts_ms)


def talk_ms(leg: Leg, race: Race) -> int | None:
    """Return the time bridged, overlaps once, as far as its end is known; None if never answered.

    A bridge known on one leg holds for both.
    """
    if leg.answered_ms is None:
        return None
    if "bridges" in leg.silences:
        return 0 if leg.end is None else max(0, leg.end.at_ms - leg.answered_ms)
    if leg.leg_id not in race.bridged:
        return 0
    legs = race.legs
    peers = set(leg.bridges) | {other_id for other_id, other in legs.items() if leg.leg_id in other.bridges}
    spans: list[tuple[int, int]] = []
    for peer in peers:
        other = legs.get(peer)
        starts = [*leg.bridges.get(peer, ()), *(other.bridges.get(leg.leg_id, ()) if other is not None else ())]
        stops = [*leg.unbridges.get(peer, ()), *(other.unbridges.get(leg.leg_id, ()) if other is not None else ())]
        spans += _spans(starts, stops, leg.ended_ms)
    return _covered_ms(spans)


def hold_ms(leg: Leg) -> int | None:
    """Return the time on hold, as far as its end is known; None if never answered."""
    if leg.answered_ms is None:
        return None
    return _covered_ms(_spans(leg.holds, leg.unholds, leg.ended_ms)) if leg.holds else 0


def _spans(starts: Iterable[int], stops: Iterable[int], end_ms: int | None) -> list[tuple[int, int]]:
    """Return for each start the span to the next later stop, else to the end; never past the end."""
    limits = sorted(stops)
    ends = [] if end_ms is None else [end_ms]
    return [(start, max(start, min([stop for stop in limits if stop > start] + ends, default=start))) for start in starts]


def _covered_ms(spans: Iterable[tuple[int, int]]) -> int:
    covered, reached_ms = 0, 0
    for start, stop in sorted(spans):
        covered += max(0, stop - max(start, reached_ms))
        reached_ms = max(reached_ms, stop)
    return covered


def queue_of(leg: Leg, race: Race) -> str | None:
    """Return the queue that a leg counts for: its own, else its visit's, else what its call's root caller dialed."""
    if leg.queue is not None:
        return leg.queue
    offered = race.roles[leg.leg_id] in ("agent", "customer")
    if offered and race.has_visits and (stay := stay_of(leg, race.legs)) is not None and stay.visit.queue is not None:
        return stay.visit.queue
    return caller_queue(race)


def caller_queue(race: Race) -> str | None:
    """Return the queue that the call's root caller asked for, or None."""
    caller = root_caller(race)
    if caller is None:
        return None
    return caller.queue or race.policy.queue_of_number.get(caller.dialed or "")


def root_caller(race: Race) -> Leg | None:
    """Return the caller's leg: of several the earliest root."""
    return race.root_caller


def call_queue(race: Race) -> str | None:
    """Return the queue that a call counts for: its last visit's, else its first offered leg's, else its caller's."""
    made = stays(race.legs.values()) if race.has_visits else []
    if made and made[-1].visit.queue is not None:
        return made[-1].visit.queue
    first = first_offer(race)
    return queue_of(first, race) if first is not None else caller_queue(race)


def first_offer(race: Race) -> Leg | None:
    """Return the earliest offered leg of a call, or None."""
    return race.first_offer


def wait_ms(race: Race) -> int | None:
    """Return how long the call waited: from its caller's first queue entry (else the first offer) to the win (else the caller's end)."""
    caller = root_caller(race)
    entered = stays([caller]) if caller is not None else []
    if entered:
        starts_ms: int | None = entered[0].joined_ms
    else:
        starts_ms = caller.offered_ms if caller is not None else started_ms(race)
    ends_ms = race.wins[0].at_ms if race.wins else caller.ended_ms if caller is not None else None
    return None if starts_ms is None or ends_ms is None else max(0, ends_ms - starts_ms)


def started_ms(race: Race) -> int | None:
    """Return the earliest offer among the legs that count."""
    began = [
        leg.offered_ms for leg_id, leg in race.legs.items() if leg.is_real and race.roles[leg_id] != "pseudo" and leg.offered_ms is not None
    ]
    return min(began, default=None)


def queues(race: Race) -> str | None:
    """Return the queues that the call visited, in order and each once, joined by commas."""
    names = dict.fromkeys(stay.visit.queue for stay in stays(race.legs.values()) if stay.visit.queue) if race.has_visits else {}
    return ",".join(names) or None


def rounds(race: Race) -> int:
    """Return how often ringing began anew: an offer made when all earlier ones had been answered or had ended opens a round."""
    count, busy_until_ms = 0, -1
    for leg in sorted(offers(race), key=lambda leg: leg.offered_ms or 0):
        starts_ms = leg.offered_ms or 0
        stops_ms = leg.answered_ms if leg.answered_ms is not None else leg.ended_ms
        if starts_ms > busy_until_ms:
            count += 1
        busy_until_ms = max(busy_until_ms, starts_ms, stops_ms if stops_ms is not None else LATEST_MS)
    return count
