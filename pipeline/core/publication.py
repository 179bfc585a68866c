"""What is said of a call: every leg and the call judged anew, and put out where that is news."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from pipeline.core.assembly import Assembly, Output
from pipeline.core.call import Call, Published, Settling
from pipeline.core.classify import CallVerdict, judge, judge_call
from pipeline.core.leg import Leg
from pipeline.core.model import CallRow, LegRow, Policy, Verdict
from pipeline.core.race import Race
from pipeline.core.rows import call_row, leg_row, withdrawn_call, withdrawn_leg
from pipeline.core.tally import Changes
from pipeline.core.units import CallUnits, LegUnits, call_units, leg_units

R = TypeVar("R", LegRow, CallRow)


def publish(state: Assembly, call: Call, race: Race, policy: Policy, out: list[Output]) -> None:
    """Judge every leg and the call again; put out what changed, and move what is counted."""
    final = state.now_ms >= race.complete_ms
    settling = call.settling
    verdicts = settling.verdicts if settling is not None else _verdicts(call, race, final=final, now_ms=state.now_ms)
    for leg_id, verdict in verdicts.items():
        _publish_leg(call, call.legs[leg_id], verdict, race, out, final=final)
    for leg_id in sorted(call.rows.keys() - verdicts.keys()):
        withdraw(call, leg_id, None, out)  # turned out to be nobody's leg, or not to have ended
    spoken = judge_call(race, verdicts)
    _publish_call(call, race, verdicts, spoken, out, final=final)
    _count(state, call, leg_units(race, verdicts, complete=final), call_units(race, verdicts, spoken, complete=final), policy)
    call.complete_ms = race.complete_ms
    call.settling = Settling(race, verdicts) if not final and _will_stay(race, verdicts) else None


def _count(state: Assembly, call: Call, legs: LegUnits, calls: CallUnits, policy: Policy) -> None:
    """Let a call count for these units from now on."""
    known_legs, known_calls = call.leg_units, call.call_units
    if legs == known_legs and calls == known_calls:
        return
    changes = Changes(call.tenant, call.key, policy, state.now_ms)
    is_new = not known_legs and not known_calls
    for leg_id in sorted(known_legs.keys() | legs.keys()):
        before, after = known_legs.get(leg_id), legs.get(leg_id)
        if before != after:
            changes.add_leg(state.deltas, leg_id, before, after, is_new_call=is_new)
    for unit_id in sorted(known_calls.keys() | calls.keys()):
        was, now = known_calls.get(unit_id), calls.get(unit_id)
        if was != now:
            changes.add_call(state.deltas, was, now, is_new_call=is_new)
    call.leg_units, call.call_units = legs, calls


def _will_stay(race: Race, verdicts: dict[str, Verdict]) -> bool:
    """Tell whether the verdicts will be the same when the call is complete, if no other fact comes: only L0 asks for that."""
    return all(leg.end is not None for leg in race.legs.values()) and all(verdict.rule != "L0" for verdict in verdicts.values())


def _verdicts(call: Call, race: Race, *, final: bool, now_ms: int) -> dict[str, Verdict]:
    verdicts = {}
    for leg_id in sorted(call.legs):
        verdict = judge(call.legs[leg_id], race, complete=final, now_ms=now_ms)
        if verdict is not None:
            doubtful = call.is_stuck and not verdict.needs_review
            verdicts[leg_id] = msgspec.structs.replace(verdict, needs_review=True) if doubtful else verdict
    return verdicts


def _publish_leg(call: Call, leg: Leg, verdict: Verdict, race: Race, out: list[Output], *, final: bool) -> None:
    """Put out the leg's row if it is news."""
    published = call.rows.get(leg.leg_id)
    if published is None:
        published = call.rows[leg.leg_id] = Published()
    said, before = f"{verdict.result} {verdict.reason} {verdict.rule}", published.said
    if final or said != before or published.final:
        out += _news(published, said, leg_row(call.tenant, leg, verdict, race, final=final, revision=published.revision + 1))


def _publish_call(
    call: Call, race: Race, verdicts: dict[str, Verdict], spoken: CallVerdict | None, out: list[Output], *, final: bool
) -> None:
    """Put out the call's row if it is news."""
    published = call.row
    before = published.said if published is not None else ""
    if spoken is None:
        if published is not None and before:
            call.row = Published(published.revision + 1)
            moved_to = call.up[1] if call.is_signpost and call.up else None
            out.append(withdrawn_call(call.tenant, call.key, moved_to=moved_to, revision=call.row.revision))
        return
    if published is None:
        published = call.row = Published()
    verdict = spoken.verdict
    said = f"{verdict.result} {verdict.reason} {verdict.rule} {spoken.rule} {spoken.leg_id}"
    if final or said != before or published.final:
        out += _news(published, said, call_row(call.tenant, race, verdicts, spoken, final=final, revision=published.revision + 1))


_BYTES = msgspec.msgpack.Encoder().encode
_REVISION = _BYTES("revision")


def _news(published: Published, said: str, row: R) -> list[R]:
    """Return the row if it differs from what was published last, and remember it. A final row counts in full but for its revision."""
    final, digest = row.final, 0
    if final:
        content, _, _ = _BYTES(row).rpartition(_REVISION)  # its last field
        digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
    if (said, final, digest) == (published.said, published.final, published.digest):
        return []
    published.revision, published.said, published.final, published.digest = row.revision, said, final, digest
    return [row]


def withdraw(call: Call, leg_id: str, moved_to: str | None, out: list[Output]) -> None:
    """Take back what was published of a leg, if anything was."""
    published = call.rows.get(leg_id)
    if published is not None and published.said:
        published.revision += 1
        published.said, published.final, published.digest = "", False, 0
        out.append(withdrawn_leg(call.tenant, call.key, leg_id, moved_to=moved_to, revision=published.revision))
