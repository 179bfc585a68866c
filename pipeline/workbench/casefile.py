"""One call told: its legs, what each rule said of them, what else was considered, and whom a loser lost to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import msgspec

from pipeline.core import classify
from pipeline.core.call import Call
from pipeline.core.classify import CallVerdict, Rule
from pipeline.core.leg import Leg
from pipeline.core.model import CallRow, LegEvent, LegRow, Policy, Result, Verdict
from pipeline.core.race import Cores, Moment, Race, read, rivals
from pipeline.core.rows import call_row, leg_row
from pipeline.errors import CallverdictError
from pipeline.workbench.offline import Offline
from pipeline.workbench.reading import ORIGIN

FEW_IDS = 20_000
"""Among more, a near id is looked for only beside the wanted one in the alphabet."""


class UnknownCall(CallverdictError):
    """No call and no leg of this id; names the nearest."""


class ToldLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a told call. `row` is None for a leg without a verdict."""

    number: int
    leg: Leg
    role: str
    row: LegRow | None
    verdict: Verdict | None
    rule: Rule | None  # the row that decided
    also: tuple[tuple[str, str], ...]  # (rule, "result reason") of every row that would have spoken after it, each verdict once
    against: Moment | None  # of a loser: the win or pick that it was measured against


class ToldCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call as its events tell it at a stream time. Legs are in order of their offers, the call's roots first."""

    tenant: str
    call_id: str
    race: Race
    legs: tuple[ToldLeg, ...]
    spoken: CallVerdict | None
    row: CallRow | None
    is_complete: bool
    is_stuck: bool
    begin_ms: int
    end_ms: int

    def number_of(self, leg_id: str) -> int | None:
        """Return a leg's number, or None if it is in another call."""
        return next((told.number for told in self.legs if told.leg.leg_id == leg_id), None)


def told(events: Iterable[LegEvent], policy: Policy, *, call_id: str | None = None, leg_id: str | None = None) -> ToldCall:
    """Return the call of this id, or the one that a leg belongs to, as it stands once it could settle. Raises UnknownCall.

    `events`: those of this call, or of any others too, in any order; what is not over by the last of them plus settling is open.
    """
    flow = Offline(policy)
    last_ms = -1
    for event in events:
        flow.send(msgspec.structs.replace(event, origin=ORIGIN))  # of one origin, so that none moves time before all are placed
        last_ms = max(last_ms, event.at_ms)
    flow.run()  # places every leg; without a watermark nothing is over and nothing dropped
    calls = [call for call in flow.parts[0].calls.values() if not call.is_signpost and any(leg.is_real for leg in call.legs.values())]
    found = next((call for call in calls if call.key == call_id or (leg_id is not None and leg_id in call.legs)), None)
    if found is None:
        raise UnknownCall(_unknown(calls, call_id=call_id, leg_id=leg_id))
    return _told(found, policy, flow.parts[0].cores.get(found.tenant, {}), now_ms=last_ms + policy.settle_ms + policy.grace_ms)


def _unknown(calls: Sequence[Call], *, call_id: str | None, leg_id: str | None) -> str:
    wanted = call_id or leg_id or ""
    legs = {leg: call.key for call in calls for leg in call.legs}
    if call_id in legs:
        return f"no call {call_id}: it is a leg of call {legs[call_id]}; give --leg {call_id}, or --call {legs[call_id]}"
    what, known = ("call", [call.key for call in calls]) if leg_id is None else ("leg", list(legs))
    close = near(wanted, known)
    advice = f"the nearest are {', '.join(close)}" if close else f"there are {len(known)}, none like it"
    return f"no {what} {wanted}: {advice}"


def near(wanted: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the ids that look most like one: those that begin with it, else those that differ least."""
    ids = sorted(known)
    begun = [one for one in ids if one.startswith(wanted)][:most]
    if begun:
        return begun
    if len(ids) > FEW_IDS:
        at = next((index for index, one in enumerate(ids) if one >= wanted), len(ids))
        ids = ids[max(0, at - FEW_IDS // 2) : at + FEW_IDS // 2]
    return get_close_matches(wanted, ids, n=most, cutoff=0.6)


def _told(call: Call, policy: Policy, cores: Cores, *, now_ms: int) -> ToldCall:
    race = read(call.key, call.legs, policy, call.through, cores)
    is_complete = now_ms >= race.complete_ms
    verdicts = {
        leg_id: verdict
        for leg_id in sorted(call.legs)
        if (verdict := classify.judge(call.legs[leg_id], race, complete=is_complete, now_ms=now_ms)) is not None
    }
    spoken = classify.judge_call(race, verdicts)
    begins = [leg.offered_ms for leg in call.legs.values() if leg.is_real and leg.offered_ms is not None]
    return ToldCall(
        tenant=call.tenant,
        call_id=call.key,
        race=race,
        legs=tuple(
            _told_leg(number, leg, call, race, verdicts, is_complete=is_complete, now_ms=now_ms)
            for number, leg in enumerate(_in_order(race), 1)
        ),
        spoken=spoken,
        row=call_row(call.tenant, race, verdicts, spoken, final=is_complete, revision=1) if spoken else None,
        is_complete=is_complete,
        is_stuck=call.is_stuck,
        begin_ms=min(begins),
        end_ms=max(leg.last_ms if leg.ended_ms is None else leg.ended_ms for leg in call.legs.values() if leg.is_real),
    )


def _in_order(race: Race) -> list[Leg]:
    real = (leg for leg in race.legs.values() if leg.is_real)
    return sorted(real, key=lambda leg: (leg.leg_id not in race.roots, leg.offered_ms or 0, leg.agent or "", leg.leg_id))


def _told_leg(number: int, leg: Leg, call: Call, race: Race, verdicts: Mapping[str, Verdict], *, is_complete: bool, now_ms: int) -> ToldLeg:
    verdict = verdicts.get(leg.leg_id)
    if verdict is None:
        return ToldLeg(number=number, leg=leg, role=race.roles[leg.leg_id], row=None, verdict=None, rule=None, also=(), against=None)
    spoke = [(rule, said) for rule, said in classify.considered(leg, race, complete=is_complete, now_ms=now_ms) if said is not None]
    also = dict.fromkeys((said.rule, f"{said.result} {said.reason}") for _, said in spoke[1:])
    return ToldLeg(
        number=number,
        leg=leg,
        role=race.roles[leg.leg_id],
        row=leg_row(call.tenant, leg, verdict, race, final=is_complete, revision=1),
        verdict=verdict,
        rule=spoke[0][0],
        also=tuple(also),
        against=_against(leg, verdict, race),
    )


def _against(leg: Leg, verdict: Verdict, race: Race) -> Moment | None:
    if verdict.result is not Result.LOSE_RACE:
        return None
    beaten_by = rivals(leg, race.wins, race.policy, own=False) or rivals(leg, race.picks, race.policy, own=True)
    return beaten_by[0] if beaten_by else None
